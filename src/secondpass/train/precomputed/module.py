"""The precomputed reranker in PyTorch: query tokens attend to a document's stored states.

After MORES (Gao, Dai and Callan, EMNLP 2020, https://arxiv.org/abs/2010.10137) and PreTTR
(MacAvaney et al., SIGIR 2020, https://arxiv.org/abs/2004.14255).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.errors import InputError


@dataclass(frozen=True, slots=True)
class PrecomputedConfig:
    """The sizes of a precomputed reranker.

    - `width`: values in the encoder's state of one token, of one layer or several; the query
      layers start from the first `hidden` of a query token.
    - `codes`: int8 values stored for a document token.
    - `gate`: initial value that each head adds to its attention logits towards the document;
      the lower it is, the closer an untrained model is to the bi-encoder.
    - `matching`: width of the late-interaction feature, 0 for none.

    Raises InputError for sizes that do not fit together.
    """

    hidden: int = 384
    heads: int = 12
    intermediate: int = 1536
    layers: int = 2
    codes: int = 128
    width: int = 384
    gate: float = -3.0
    matching: int = 0

    def __post_init__(self) -> None:
        why = None
        for item in fields(self):
            value = getattr(self, item.name)
            minimum = {"gate": None, "matching": 0}.get(item.name, 1)
            if minimum is not None and (type(value) is not int or value < minimum):
                why = f"{item.name} is {value!r}, and the minimum is {minimum}"
        if why is None and self.hidden % self.heads:
            why = f"hidden {self.hidden} is not a multiple of heads {self.heads}"
        if why is None and self.codes > self.hidden:
            why = f"codes {self.codes} is more than hidden {self.hidden}"
        if why is None and self.width < self.hidden:
            why = f"the width {self.width} of a state is less than hidden {self.hidden}"
        if why is None and self.matching > self.codes:
            why = f"matching {self.matching} is more than codes {self.codes}"
        if why is not None:
            raise InputError("The sizes of a precomputed reranker do not fit together", why=why)

    def as_object(self) -> dict[str, Any]:
        """Return a JSON object that `from_object` reads."""
        return asdict(self)

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> PrecomputedConfig:
        """Read what `as_object` returned; raises InputError for anything else."""
        known = {item.name for item in fields(cls)}
        if not isinstance(value, Mapping) or set(value) - known:
            raise InputError(
                "The sizes of a precomputed reranker cannot be read", why=f"it is {value!r}"
            )
        return cls(**value)


# Stands for minus infinity in attention logits: its exponential is exactly 0, and a row that is
# masked as a whole still has no NaN.
MASKED = -1e4
# Cosines lie in [-1, 1]; this scale makes logits of them, and the shift gives the cosine of
# 0.4, about the border of unrelated and related texts, a probability of one half.
SCALE, SHIFT = 20.0, -8.0
FEATURE_SCALE = 4.0


class Documents(NamedTuple):
    """The documents of a batch, each stored once.

    `states` float32 [all tokens, width] has the documents concatenated; `positions` int64
    [pairs, longest] are the rows of the tokens of each pair's document; `mask` float32
    [pairs, longest] is 0 at padding; `embeddings` float32 [pairs, hidden] has unit length.
    """

    states: Tensor
    positions: Tensor
    mask: Tensor
    embeddings: Tensor


class Queries(NamedTuple):
    """The queries of a batch, each stored once.

    `states` float32 [queries, tokens, width], `mask` float32 [queries, tokens], `query_of`
    int64 [pairs]: the row of each pair's query.
    """

    states: Tensor
    mask: Tensor
    query_of: Tensor


def quantize_codes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return integers in ±127, as floats, and the scale of each row (last axis)."""
    scale = values.abs().amax(-1).clamp(min=1e-12) / 127
    return (values / scale.unsqueeze(-1)).round().clamp(-127, 127), scale


def straight_through(values: Tensor) -> Tensor:
    """Round rows as `quantize_codes` does; the gradient passes unchanged."""
    codes, scale = quantize_codes(values.detach())
    return values + (codes * scale.unsqueeze(-1) - values).detach()


class QueryLayer(nn.Module):
    """A transformer layer of the query that also attends to a document's codes.

    Each head adds its own gate to the logits towards the document. With gates at `MASKED`
    the layer is a plain layer of BERT. `document_key` and `document_value` are those of a
    plain layer too, but a dozen query tokens are projected into the space of the codes
    instead of hundreds of codes into that of the layer: the products are the same.
    """

    def __init__(self, config: PrecomputedConfig) -> None:
        super().__init__()
        hidden, codes = config.hidden, config.codes
        self.heads = config.heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.document_key = nn.Linear(codes, hidden)
        self.document_value = nn.Linear(codes, hidden)
        self.gate = nn.Parameter(torch.full((config.heads,), config.gate))
        self.out = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps=1e-12)
        self.up = nn.Linear(hidden, config.intermediate)
        self.down = nn.Linear(config.intermediate, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(
        self,
        x: Tensor,
        query_bias: Tensor,
        document: Tensor,
        document_bias: Tensor,
        query_of: Tensor | None = None,
    ) -> Tensor:
        """Return the tokens of the pairs' queries, [pairs, query tokens, hidden].

        `document` is [pairs, document tokens, codes]; the biases [rows, tokens] are 0, or
        `MASKED` at padding. If `x` and `query_bias` are [queries, …] rather than [pairs, …],
        `query_of` has the row of each pair's query: what depends on the query alone is then
        computed once for each query. A single query needs no `query_of`.
        """
        query = self._split(self.query(x)) * (x.shape[2] // self.heads) ** -0.5
        value = self._split(self.value(x))
        own = query @ self._split(self.key(x)).transpose(2, 3) + query_bias[:, None, None, :]
        # [heads, 1, size] and [heads, size, codes]
        shift = self.document_key.bias.view(self.heads, 1, -1)
        offset = (query * shift).sum(3, keepdim=True) + self.gate.view(self.heads, 1, 1)
        projected = query @ self.document_key.weight.view(self.heads, -1, document.shape[2])
        if query_of is not None:
            x, own, value = x[query_of], own[query_of], value[query_of]
            offset, projected = offset[query_of], projected[query_of]
        pairs, tokens = document.shape[0], x.shape[1]
        shape = (pairs, self.heads, tokens, -1)
        own = own.expand(pairs, -1, -1, -1)
        projected = projected.flatten(1, 2).expand(pairs, -1, -1)
        foreign = (projected @ document.transpose(1, 2)).view(shape)
        foreign = foreign + offset + document_bias[:, None, None, :]
        weights = functional.softmax(torch.cat([own, foreign], dim=3), dim=3)
        own, foreign = weights[..., :tokens], weights[..., tokens:]
        codes_read = (foreign.flatten(1, 2) @ document).view(shape)
        weight = self.document_value.weight.view(self.heads, -1, document.shape[2])
        shift = self.document_value.bias.view(self.heads, 1, -1)
        attended = own @ value + codes_read @ weight.transpose(1, 2)
        attended = attended + foreign.sum(3, keepdim=True) * shift
        x = self.attention_norm(self.out(attended.transpose(1, 2).flatten(2)) + x)
        output: Tensor = self.norm(self.down(functional.gelu(self.up(x))) + x)
        return output

    def _split(self, x: Tensor) -> Tensor:
        """[rows, tokens, hidden] → [rows, heads, tokens, hidden / heads]."""
        rows, tokens, hidden = x.shape
        return x.view(rows, tokens, self.heads, hidden // self.heads).transpose(1, 2)


class PrecomputedModule(nn.Module):
    """Scores documents for queries from states that were computed beforehand.

    A score is a logit: the scaled cosine of the query, after its layers, and the document's
    embedding, plus the output of a small head over both, which is 0 at first.
    """

    def __init__(self, config: PrecomputedConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.compress = nn.Linear(config.width, config.codes)
        self.layers = nn.ModuleList([QueryLayer(config) for _ in range(config.layers)])
        self.head = nn.Sequential(
            nn.Linear(4 * hidden, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )
        for last in self.head[2].parameters():
            nn.init.zeros_(last)
        self.scale = nn.Parameter(torch.tensor(SCALE))
        self.shift = nn.Parameter(torch.tensor(SHIFT))
        if config.matching:
            self.match_query = nn.Linear(config.width, config.matching)
            self.match_document = nn.Linear(config.codes, config.matching, bias=False)
            self.match_weights = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, queries: Queries, documents: Documents) -> Tensor:
        """Return a logit for each pair, float32 [pairs]."""
        codes = straight_through(self.compress(documents.states))
        document = codes[documents.positions]
        document_bias = (1 - documents.mask) * MASKED
        query_bias = (1 - queries.mask) * MASKED
        x, query_of = queries.states[..., : self.config.hidden], queries.query_of
        mask = queries.mask[query_of]
        for number, layer in enumerate(self.query_layers()):
            if number == 0:
                x = layer(x, query_bias, document, document_bias, query_of)
                query_bias = query_bias[query_of]
            else:
                x = layer(x, query_bias, document, document_bias)
        score = self.score(x, mask, documents.embeddings)
        if self.config.matching:
            words = words_only(queries.mask)[query_of]
            query = functional.normalize(self.match_query(queries.states), dim=-1)[query_of]
            matched = functional.normalize(self.match_document(document), dim=-1)
            score = score + self.match(query, words, matched, document_bias)
        return score

    def query_layers(self) -> list[QueryLayer]:
        """Return the layers of the query, in order."""
        return [layer for layer in self.layers if isinstance(layer, QueryLayer)]

    def score(self, x: Tensor, mask: Tensor, embeddings: Tensor) -> Tensor:
        """Return the logit of each pair from the query's tokens after the last layer, [pairs].

        `x` is [pairs, query tokens, hidden], `mask` [pairs, query tokens].
        """
        total = (x * mask.unsqueeze(-1)).sum(1)
        query = functional.normalize(total / mask.sum(1, keepdim=True), dim=1)
        product = query * embeddings
        features = torch.cat([query, embeddings, (query - embeddings).abs(), product], dim=1)
        score: Tensor = self.head(features * FEATURE_SCALE)[:, 0]
        return score + self.scale * product.sum(1) + self.shift

    def match(self, query: Tensor, mask: Tensor, document: Tensor, bias: Tensor) -> Tensor:
        """Return the late-interaction feature of each pair, weighted, [pairs].

        The cosine of each query token with the nearest document token, and its fourth
        power, as means over the query's words (Khattab and Zaharia, SIGIR 2020,
        https://arxiv.org/abs/2004.12832). `mask` [rows, query tokens] is 1 at words.
        """
        return self.match_cosines(query @ document.transpose(1, 2), mask, bias)

    def match_cosines(self, cosines: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        """Return that feature from [pairs, query tokens, document tokens] cosines."""
        nearest = (cosines + bias[:, None, :]).amax(2)
        count = mask.sum(1).clamp(min=1)
        mean = (nearest * mask).sum(1) / count
        sharp = (nearest.clamp(min=0) ** 4 * mask).sum(1) / count
        feature: Tensor = self.match_weights[0] * mean + self.match_weights[1] * sharp
        return feature * SCALE


def words_only(mask: Tensor) -> Tensor:
    """Return a mask [queries, tokens] without the first and the last token of each row."""
    after = functional.pad(mask, (0, 1))[:, 1:]
    inner = mask * after
    return torch.cat([torch.zeros_like(inner[:, :1]), inner[:, 1:]], dim=1)
