"""Two halves of one sequence that see each other through gates: for comparison only.

With shut gates this is the bi-encoder, and so it can start from one. It reads every
document for every query, which the reader does not; it is not exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.errors import InputError
from secondpass.inference.tokenizer import Tokenizer
from secondpass.train.precomputed.init import load_bert
from secondpass.train.precomputed.module import FEATURE_SCALE, MASKED, SCALE, SHIFT
from secondpass.train.trainer.interface import QueryBatch, ScoredBatch, Texts
from secondpass.train.trainer.settings import Settings

GATE = -5.0


class Gated(nn.Module):
    """A BERT over query and passage, each with positions from 0.

    `gates` [layers, 2] are added to the attention logits from query to passage and back.
    """

    def __init__(self, bert: Any, gate: float = GATE) -> None:
        super().__init__()
        self.bert = bert
        hidden = int(bert.config.hidden_size)
        self.heads = int(bert.config.num_attention_heads)
        self.gates = nn.Parameter(torch.full((int(bert.config.num_hidden_layers), 2), gate))
        self.head = nn.Sequential(
            nn.Linear(4 * hidden, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )
        for last in self.head[2].parameters():
            nn.init.zeros_(last)
        self.scale = nn.Parameter(torch.tensor(SCALE))
        self.shift = nn.Parameter(torch.tensor(SHIFT))

    def forward(self, query: Tensor, query_mask: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Return a logit for each row of ids int64 [rows, tokens] and masks of their shape."""
        x = torch.cat([self._embed(query), self._embed(text)], dim=1)
        rows, tokens, _ = x.shape
        first = query.shape[1]
        both = torch.cat([query_mask, mask], dim=1).float()
        padding = ((1 - both) * MASKED)[:, None, None, :]
        side = (torch.arange(tokens, device=x.device) >= first).long()
        crossing = (side[:, None] != side[None, :]).float()
        for number, layer in enumerate(self.bert.encoder.layer):
            attention = layer.attention.self
            gate = self.gates[number][side][:, None] * crossing
            asked, key, value = (
                projected(x).view(rows, tokens, self.heads, -1).transpose(1, 2)
                for projected in (attention.query, attention.key, attention.value)
            )
            read = functional.scaled_dot_product_attention(
                asked, key, value, attn_mask=padding + gate
            )
            out = layer.attention.output
            x = out.LayerNorm(out.dense(read.transpose(1, 2).flatten(2)) + x)
            wide = functional.gelu(layer.intermediate.dense(x))
            x = layer.output.LayerNorm(layer.output.dense(wide) + x)
        one = _pooled(x[:, :first], query_mask)
        other = _pooled(x[:, first:], mask)
        product = one * other
        features = torch.cat([one, other, (one - other).abs(), product], dim=1)
        score: Tensor = self.head(features * FEATURE_SCALE)[:, 0]
        return score + self.scale * product.sum(1) + self.shift

    def _embed(self, ids: Tensor) -> Tensor:
        tables = self.bert.embeddings
        places = torch.arange(ids.shape[1], device=ids.device)[None]
        embedded: Tensor = tables.LayerNorm(
            tables.word_embeddings(ids)
            + tables.position_embeddings(places)
            + tables.token_type_embeddings(torch.zeros_like(ids))
        )
        return embedded


def _pooled(x: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).float()
    return functional.normalize((x * weights).sum(1) / weights.sum(1), dim=1)


class GatedLearner:
    """A gated encoder with the tokens of all texts; its tables stay as they are."""

    def __init__(
        self, model: Gated, tokeniser: Tokenizer, texts: Texts, settings: Settings
    ) -> None:
        self.model = model
        self._pad = tokeniser.pad_id
        self._queries = _tokens(tokeniser, texts.queries, settings.query_tokens)
        self._passages = _tokens(tokeniser, texts.passages, settings.document_tokens)
        for name, parameter in model.bert.named_parameters():
            if name.startswith(("embeddings.", "pooler.")):
                parameter.requires_grad_(False)

    @property
    def module(self) -> nn.Module:
        """The gated encoder."""
        return self.model

    def rated(self, settings: Settings) -> list[ScoredBatch]:
        """Return layers, gates and scale, and head, each with its own rate."""
        layers = [one for one in self.model.bert.parameters() if one.requires_grad]
        fast: list[nn.Parameter] = [self.model.gates, self.model.scale, self.model.shift]
        return [
            ScoredBatch(layers, settings.learning_rate),
            ScoredBatch(fast, settings.gate_rate, decay=False),
            ScoredBatch(list(self.model.head.parameters()), settings.head_rate),
        ]

    def scores(self, pairs: Sequence[QueryBatch]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        query, query_mask = self._padded([self._queries[pair.query] for pair in pairs])
        text, mask = self._padded([self._passages[pair.passage] for pair in pairs])
        logits: Tensor = self.model(query, query_mask, text, mask)
        return logits

    def cosines(self, pairs: Sequence[QueryBatch]) -> None:
        """Return None: the bi-encoder is what is being changed."""
        return

    def description(self) -> dict[str, Any]:
        """Return nothing: it is not exported."""
        return {}

    def _padded(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        ids = nn.utils.rnn.pad_sequence(list(rows), True, self._pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        device = self.model.scale.device
        return ids.to(device), mask.to(device)


def _tokens(tokeniser: Tokenizer, texts: Sequence[str], limit: int) -> list[Tensor]:
    room = limit - tokeniser.special
    encoded = tokeniser.encode(list(texts), room)
    return [torch.from_numpy(tokeniser.single(one.ids[:room])[0]) for one in encoded]


def prepare(texts: Texts, settings: Settings, base: Path) -> GatedLearner:
    """Return a gated encoder that starts from a transformers folder with a BERT.

    Raises InputError for another kind of model, ModelDamagedError for one that cannot be
    read.
    """
    bert = load_bert(base)
    if bert.config.model_type != "bert":
        raise InputError(
            "only a BERT can be gated", where=str(base), why=f"it is a {bert.config.model_type}"
        )
    tokeniser = Tokenizer(base / "tokenizer.json")
    return GatedLearner(Gated(bert), tokeniser, texts, settings)
