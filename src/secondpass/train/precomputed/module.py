"""The reader in PyTorch: query tokens attend to themselves and to a document's states.

After MORES (Gao, Dai and Callan, EMNLP 2020, https://arxiv.org/abs/2010.10137) and PreTTR
(MacAvaney et al., SIGIR 2020, https://arxiv.org/abs/2004.14255).

The shape of a reader.
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
    """How large a reader is.

    - `width`: numbers in an encoder's state of one token, of one layer or several; the
      first `hidden` of them are where the query's tokens start from.
    - `codes`: int8 numbers that are kept of a document's token.
    - `gate`: what is added at first to the attention logits towards the document, a head;
      the lower it is, the closer an untrained reader is to the bi-encoder.
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
        for one in fields(self):
            value = getattr(self, one.name)
            least = {"gate": None, "matching": 0}.get(one.name, 1)
            if least is not None and (type(value) is not int or value < least):
                why = f"{one.name} is {value!r}, and {least} is the least"
        if why is None and self.hidden % self.heads:
            why = f"hidden {self.hidden} is no multiple of heads {self.heads}"
        if why is None and self.codes > self.hidden:
            why = f"codes {self.codes} are more than hidden {self.hidden}"
        if why is None and self.width < self.hidden:
            why = f"the width {self.width} of a state is less than hidden {self.hidden}"
        if why is None and self.matching > self.codes:
            why = f"matching {self.matching} is more than codes {self.codes}"
        if why is not None:
            raise InputError("a reader cannot have this shape", why=why)

    def as_object(self) -> dict[str, Any]:
        """Return a JSON object that `from_object` reads."""
        return asdict(self)

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> PrecomputedConfig:
        """Read what `as_object` gave; raises InputError for anything else."""
        known = {one.name for one in fields(cls)}
        if not isinstance(value, Mapping) or set(value) - known:
            raise InputError("a reader's shape cannot be read", why=f"it is {value!r}")
        return cls(**value)


# What stands for minus infinity in attention logits: exp of it is exactly 0, and a row that
# is masked as a whole still has no NaN.
MASKED = -1e4
# Cosines lie in [-1, 1]; this scale makes logits of them, and the shift puts the cosine of
# 0.4, about where unrelated and related texts part, at a probability of one half.
SCALE, SHIFT = 20.0, -8.0
FEATURE_SCALE = 4.0


class Documents(NamedTuple):
    """Documents of a batch, each stored once.

    `states` float32 [all tokens, width] is one document after the other, or, once
    compressed, [all tokens, codes]; `places` int64 [pairs, longest] says where in it the
    tokens of each pair's document are; `mask` float32 [pairs, longest] is 1 where there is
    one; `embeddings` float32 [pairs, hidden] has unit length.
    """

    states: Tensor
    places: Tensor
    mask: Tensor
    embeddings: Tensor


class Queries(NamedTuple):
    """Queries of a batch, each stored once.

    `states` float32 [queries, tokens, width], `mask` float32 [queries, tokens], `of` int64
    [pairs]: which query is that of each pair.
    """

    states: Tensor
    mask: Tensor
    of: Tensor


def quantise_codes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole numbers in ±127, as floats, and the scale of each row (last axis)."""
    scale = values.abs().amax(-1).clamp(min=1e-12) / 127
    return (values / scale.unsqueeze(-1)).round().clamp(-127, 127), scale


def straight_through(values: Tensor) -> Tensor:
    """Return rows rounded as `quantise_codes` does; the gradient passes as if they were not."""
    codes, scale = quantise_codes(values.detach())
    return values + (codes * scale.unsqueeze(-1) - values).detach()


class ReadingLayer(nn.Module):
    """A transformer layer whose attention also covers a document's codes.

    Each head adds its own gate to the logits towards the document. With gates at `MASKED`
    the layer is a plain layer of BERT. `document_key` and `document_value` are those of a
    plain layer too, but a dozen query tokens are brought into the space of the codes
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
        of: Tensor | None = None,
    ) -> Tensor:
        """Return the tokens of the pairs' queries, [pairs, query tokens, hidden].

        `document` is [pairs, document tokens, codes]; the biases [rows, tokens] are 0, or
        `MASKED` at padding. While `x` and `query_bias` are [queries, …] rather than
        [pairs, …], `of` says which query is that of each pair: what depends on the query
        alone is then computed once for each query. A single query needs no `of`.
        """
        asked = self._split(self.query(x)) * (x.shape[2] // self.heads) ** -0.5
        value = self._split(self.value(x))
        own = asked @ self._split(self.key(x)).transpose(2, 3) + query_bias[:, None, None, :]
        # [heads, 1, size] and [heads, size, codes]
        shift = self.document_key.bias.view(self.heads, 1, -1)
        towards = (asked * shift).sum(3, keepdim=True) + self.gate.view(self.heads, 1, 1)
        coded = asked @ self.document_key.weight.view(self.heads, -1, document.shape[2])
        if of is not None:
            x, own, value = x[of], own[of], value[of]
            towards, coded = towards[of], coded[of]
        pairs, tokens = document.shape[0], x.shape[1]
        shape = (pairs, self.heads, tokens, -1)
        own = own.expand(pairs, -1, -1, -1)
        coded = coded.flatten(1, 2).expand(pairs, -1, -1)
        foreign = (coded @ document.transpose(1, 2)).view(shape)
        foreign = foreign + towards + document_bias[:, None, None, :]
        weights = functional.softmax(torch.cat([own, foreign], dim=3), dim=3)
        own, foreign = weights[..., :tokens], weights[..., tokens:]
        got = (foreign.flatten(1, 2) @ document).view(shape)
        weight = self.document_value.weight.view(self.heads, -1, document.shape[2])
        shift = self.document_value.bias.view(self.heads, 1, -1)
        read = own @ value + got @ weight.transpose(1, 2)
        read = read + foreign.sum(3, keepdim=True) * shift
        x = self.attention_norm(self.out(read.transpose(1, 2).flatten(2)) + x)
        mixed: Tensor = self.norm(self.down(functional.gelu(self.up(x))) + x)
        return mixed

    def _split(self, x: Tensor) -> Tensor:
        """[rows, tokens, hidden] → [rows, heads, tokens, hidden / heads]."""
        rows, tokens, hidden = x.shape
        return x.view(rows, tokens, self.heads, hidden // self.heads).transpose(1, 2)


class PrecomputedModule(nn.Module):
    """Scores documents for queries from states that were computed beforehand.

    A score is a logit: the scaled cosine of the read query with the document's embedding,
    plus what a small head, zero at first, makes of both.
    """

    def __init__(self, config: PrecomputedConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.compress = nn.Linear(config.width, config.codes)
        self.layers = nn.ModuleList([ReadingLayer(config) for _ in range(config.layers)])
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
        packed = straight_through(self.compress(documents.states))
        document = packed[documents.places]
        document_bias = (1 - documents.mask) * MASKED
        query_bias = (1 - queries.mask) * MASKED
        x, of = queries.states[..., : self.config.hidden], queries.of
        mask = queries.mask[of]
        for number, layer in enumerate(self.reading_layers()):
            if number == 0:
                x = layer(x, query_bias, document, document_bias, of)
                query_bias = query_bias[of]
            else:
                x = layer(x, query_bias, document, document_bias)
        score = self.judge(x, mask, documents.embeddings)
        if self.config.matching:
            words = words_only(queries.mask)[of]
            asked = functional.normalize(self.match_query(queries.states), dim=-1)[of]
            found = functional.normalize(self.match_document(document), dim=-1)
            score = score + self.match(asked, words, found, document_bias)
        return score

    def reading_layers(self) -> list[ReadingLayer]:
        """Return the layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, ReadingLayer)]

    def judge(self, x: Tensor, mask: Tensor, embeddings: Tensor) -> Tensor:
        """Return the logit of each pair from the query's read tokens, [pairs].

        `x` is [pairs, query tokens, hidden], `mask` [pairs, query tokens].
        """
        total = (x * mask.unsqueeze(-1)).sum(1)
        query = functional.normalize(total / mask.sum(1, keepdim=True), dim=1)
        product = query * embeddings
        both = torch.cat([query, embeddings, (query - embeddings).abs(), product], dim=1)
        score: Tensor = self.head(both * FEATURE_SCALE)[:, 0]
        return score + self.scale * product.sum(1) + self.shift

    def match(self, asked: Tensor, mask: Tensor, found: Tensor, bias: Tensor) -> Tensor:
        """Return the late-interaction feature of each pair, weighted, [pairs].

        The cosine of each query token with the nearest document token, and its fourth
        power, as means over the query's words (Khattab and Zaharia, SIGIR 2020,
        https://arxiv.org/abs/2004.12832). `mask` [rows, query tokens] is 1 at words.
        """
        return self.match_cosines(asked @ found.transpose(1, 2), mask, bias)

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
