"""What scorers of sentences and of documents share: whether a token answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.errors import ModelError

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
class TokenScorerConfig:
    """The shapes of a scorer.

    - `width`: values of a query token's state; `hidden`: of an embedding; `codes`: of a stored
      token; `matching`: of the axes in which a reranker compares both.
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


class QueryReading(NamedTuple):
    """What a scorer makes of each query, before it reads a token.

    - `word_weights`: learned, of each word, their sum 1, float32 [queries, words].
    - `of_token` [queries, axes, units], `constant` [queries, units]: turn the direction of a
      token into its features.
    """

    word_weights: Tensor
    of_token: Tensor
    constant: Tensor


class TokenScorer(nn.Module):
    """The layers that read a query, and that tell of the features of tokens which answer.

    - `turn`: from and to how many values `turn` goes, which brings words and tokens into the
      same axes; `axes`: of how many values these are.
    - `similarities`: how many features say how near a token is to the words.

    No token answers before training.
    """

    def __init__(
        self,
        config: TokenScorerConfig,
        dropout: float,
        *,
        turn: tuple[int, int],
        axes: int,
        similarities: int,
    ) -> None:
        super().__init__()
        self.config = config
        width, units = config.width, config.units
        self.match_query = nn.Linear(width, config.matching).requires_grad_(False)
        self.turn = nn.Linear(*turn, bias=False)
        self.word_weight = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1))
        self.summary_weight = nn.Linear(width, 1)
        self.summary_states = nn.Linear(width, config.summary)
        self.summary_embedding = nn.Linear(config.hidden, config.summary)
        self.summary_axes = nn.Linear(config.summary, axes)
        self.of_token = nn.Linear(axes, units)
        self.of_asked = nn.Linear(axes, units, bias=False)
        self.of_summary = nn.Linear(config.summary, units, bias=False)
        self.of_similarity = nn.Linear(similarities, units, bias=False)
        self.mix_neighbors = nn.Conv1d(
            units, units, config.reach, padding=config.reach // 2, groups=units
        )
        self.mix_units = nn.Linear(units, units)
        self.answer = nn.Linear(units, 1)
        for last in (*self.word_weight[2].parameters(), *self.answer.parameters()):
            nn.init.zeros_(last)
        self.match_weights = nn.Parameter(torch.tensor([0.1, 0.01]))
        self.dropout = nn.Dropout(dropout)

    def use_axes(self, axes: Axes) -> None:
        """Start from the axes in which a reranker compares query and document."""
        with torch.no_grad():
            self.match_query.weight.copy_(axes.query)
            self.match_query.bias.copy_(axes.query_bias)
            self.turn.weight.copy_(self.turn_of(axes))

    def turn_of(self, axes: Axes) -> Tensor:
        """Return the weights of `turn` that these axes are."""
        raise NotImplementedError

    def read_query(self, states: Tensor, embeddings: Tensor, absent: Tensor) -> QueryReading:
        """Read queries: [queries, words, width], [queries, hidden], [queries, words].

        `absent` is 0 at words, and very low elsewhere.
        """
        weights = (self.word_weight(states)[..., 0] + absent).softmax(-1)
        attended = (self.summary_weight(states)[..., 0] + absent).softmax(-1)
        summary = (attended[..., None] * self.summary_states(states)).sum(1)
        summary = summary + self.summary_embedding(embeddings)
        # A token for itself, and for what is asked: one product for both, made for the query.
        asked = self.summary_axes(summary)[..., None] * self.of_asked.weight.T
        of_token = (self.of_token.weight.T + asked) * UNIT
        constant = self.of_token.bias + self.of_summary(functional.gelu(summary))
        return QueryReading(weights, of_token, constant)

    def find_answers(self, units: Tensor, mask: Tensor) -> Tensor:
        """Return a logit of each token, float32 [texts, tokens].

        `units` are its features, [texts, tokens, units]; `mask` is 1 at tokens.
        """
        units = functional.relu(units) * mask[..., None]
        mixed = self.mix_neighbors(units.transpose(1, 2)).transpose(1, 2)
        units = self.dropout(units + functional.relu(mixed))
        units = units + functional.relu(self.mix_units(units))
        answers: Tensor = self.answer(units)[..., 0]
        return answers


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
