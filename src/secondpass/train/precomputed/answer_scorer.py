"""The scorer of answers in a text, for the scores of documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.errors import ModelError
from secondpass.train.precomputed.module import MASKED, words_only

# A unit vector times its root mean square has components of about 1, as layers expect.
UNIT = 128**0.5
# Differences of cosines are small: without this factor their weights would be large numbers,
# which training steps of the usual size hardly move.
MATCHED = 100.0


class Axes(NamedTuple):
    """The layers that turn words and tokens into the space in which they are compared.

    `query` [matching, width] and `query_bias` [matching] of a word's state, `document`
    [matching, codes] of a token's codes.
    """

    query: Tensor
    query_bias: Tensor
    document: Tensor


@dataclass(frozen=True, slots=True)
class AnswerScorerConfig:
    """The shapes of a scorer.

    - `width`: values of a query token's state; `hidden`: of an embedding; `codes`: of a stored
      token; `matching`: of the axes in which both are compared.
    - `summary`: values that describe what the query asks for; `units`: of a token's features;
      `reach`: tokens that a token's features are mixed with, itself included.
    """

    width: int
    hidden: int
    codes: int
    matching: int
    summary: int = 64
    units: int = 64
    reach: int = 7


class AnswerScorer(nn.Module):
    """Scores texts for a query: how well its words match, and whether a token answers.

    Two parts are added up. The first is late interaction (Khattab and Zaharia, SIGIR 2020):
    the mean over the words of the query of the nearest token of the text, once plain and
    once with a learned weight of each word. The second is a logit of each token, from the
    token, the query's words that it is near to (as in BiDAF, Seo et al., ICLR 2017) and a
    summary of the query, pooled over the text by the logarithm of the mean exponential.
    The second is 0 before training.

    The axes in which words and tokens are compared are those of a reranker (`use_axes`), and
    are not trained: so a reranker's graph can share its cosines with the scorer.
    """

    def __init__(self, config: AnswerScorerConfig, dropout: float = 0.2) -> None:
        super().__init__()
        self.config = config
        width, matching, units = config.width, config.matching, config.units
        self.match_query = nn.Linear(width, matching).requires_grad_(False)
        self.match_document = nn.Linear(config.codes, matching, bias=False)
        self.match_document.requires_grad_(False)
        self.word_weight = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1))
        self.summary_weight = nn.Linear(width, 1)
        self.summary_states = nn.Linear(width, config.summary)
        self.summary_embedding = nn.Linear(config.hidden, config.summary)
        self.summary_axes = nn.Linear(config.summary, matching)
        self.of_token = nn.Linear(matching, units)
        self.of_attended = nn.Linear(matching, units, bias=False)
        self.of_asked = nn.Linear(matching, units, bias=False)
        self.of_summary = nn.Linear(config.summary, units, bias=False)
        self.of_similarity = nn.Linear(3, units, bias=False)
        self.mix_neighbors = nn.Conv1d(
            units, units, config.reach, padding=config.reach // 2, groups=units
        )
        self.mix_units = nn.Linear(units, units)
        self.answer = nn.Linear(units, 1)
        for last in (*self.word_weight[2].parameters(), *self.answer.parameters()):
            nn.init.zeros_(last)
        self.match_weights = nn.Parameter(torch.tensor([0.1, 0.01]))
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.dropout = nn.Dropout(dropout)

    def use_axes(self, axes: Axes) -> None:
        """Compare query and document in the axes of a reranker."""
        with torch.no_grad():
            self.match_query.weight.copy_(axes.query)
            self.match_query.bias.copy_(axes.query_bias)
            self.match_document.weight.copy_(axes.document)

    def forward(
        self,
        query_states: Tensor,
        query_mask: Tensor,
        query_embeddings: Tensor,
        codes: Tensor,
        mask: Tensor,
        query_of: Tensor | None = None,
    ) -> Tensor:
        """Return a score for each text, float32 [texts].

        - `query_states`: [queries, words, width]; `query_mask`: [queries, words], 1 at tokens;
          `query_embeddings`: [queries, hidden].
        - `codes`: [texts, tokens, codes]; `mask`: [texts, tokens], 1 at tokens. The first and
          the last token of a query and of a text are special ones.
        - `query_of`: the query of each text; None where there is one query.
        """
        query = functional.normalize(self.match_query(query_states), dim=-1)
        document = functional.normalize(self.match_document(codes), dim=-1)
        return self.score(
            query_states, query_mask, query_embeddings, query, document, mask, query_of
        )

    def score(
        self,
        query_states: Tensor,
        query_mask: Tensor,
        query_embeddings: Tensor,
        query: Tensor,
        document: Tensor,
        mask: Tensor,
        query_of: Tensor | None = None,
        length_power: float = 1.0,
    ) -> Tensor:
        """Return the scores of texts whose directions are known, float32 [texts].

        - `query`: [queries, words, matching], `document`: [texts, tokens, matching]: words and
          tokens in the axes in which they are compared, of unit length.
        - `length_power`: the part of tokens is divided by their number to this power; 1 for
          their mean, 0 for their sum.

        The others are as in `forward`.
        """

        def spread(x: Tensor) -> Tensor:
            return x if query_of is None else x[query_of]

        words = words_only(query_mask)
        absent = (1 - words) * MASKED
        directions = spread(query)
        cosines = directions @ document.transpose(1, 2)

        weights = (self.word_weight(query_states)[..., 0] + absent).softmax(-1)
        nearest = (cosines + ((1 - mask) * MASKED)[:, None]).amax(2)
        plain = (nearest * spread(words / words.sum(1, keepdim=True).clamp(min=1))).sum(1)
        weighted = (nearest * spread(weights)).sum(1)
        matched = self.match_weights[0] * plain + self.match_weights[1] * weighted

        attended = (self.summary_weight(query_states)[..., 0] + absent).softmax(-1)
        summary = (attended[..., None] * self.summary_states(query_states)).sum(1)
        summary = summary + self.summary_embedding(query_embeddings)
        cosines = cosines + spread(absent)[..., None]
        near = (cosines * self.sharpness).softmax(1).transpose(1, 2) @ directions
        best = cosines.amax(1)
        similarity = torch.stack([best, plain[:, None].expand_as(best)], dim=-1)
        similarity = torch.cat([similarity, similarity.prod(-1, keepdim=True)], dim=-1)

        # A token for itself, and for what is asked: one product for both, made for the query.
        asked = self.summary_axes(summary)[..., None] * self.of_asked.weight.T
        of_token = (self.of_token.weight.T + asked) * UNIT
        constant = self.of_token.bias + self.of_summary(functional.gelu(summary))
        units = self.dropout(document) @ spread(of_token) + spread(constant)[:, None]
        units = units + self.of_attended(near * document * (UNIT**2 / 2))
        units = units + self.of_similarity(similarity)
        units = functional.relu(units) * mask[..., None]
        mixed = self.mix_neighbors(units.transpose(1, 2)).transpose(1, 2)
        units = self.dropout(units + functional.relu(mixed))
        units = units + functional.relu(self.mix_units(units))

        inner = words_only(mask)
        answers = self.answer(units)[..., 0] + (1 - inner) * MASKED
        count = inner.sum(1).clamp(min=1)
        return (
            MATCHED * matched
            + torch.logsumexp(answers, dim=1)
            - length_power * torch.log(count)
        )


def read_axes(start: Path) -> Axes:
    """Read the axes in which a reranker compares query and document from its start.onnx.

    Raises `ModelError` where the graph compares none.
    """
    import onnx_ir as ir

    graph = ir.load(str(start)).graph
    arrays = {
        name: value.const_value.numpy().astype(np.float32)
        for name, value in graph.initializers.items()
        if value.const_value is not None
    }
    # Weights are stored in half precision, so a cast stands between them and their product.
    casts = {n.outputs[0].name: n.inputs[0] for n in graph if n.op_type == "Cast"}
    found: dict[str, np.ndarray] = {}
    for node in graph:
        if node.op_type == "MatMul":
            left, right = node.inputs
            source = casts.get(left.name, left) if left is not None else None
            weight = casts.get(right.name, right) if right is not None else None
            if source is not None and weight is not None and weight.name in arrays:
                found[str(source.name)] = arrays[weight.name]
    bias = [v for n, v in arrays.items() if n.endswith("match_query.bias")]
    query, document = found.get("query_states"), found.get("document_codes")
    if query is None or document is None or len(bias) != 1:
        raise ModelError(
            "The reranker has no axes in which query and document are compared",
            where=str(start),
            fix="Use a reranker with `matching` in its manifest.",
        )
    return Axes(*(torch.from_numpy(array.copy()) for array in (query.T, bias[0], document.T)))
