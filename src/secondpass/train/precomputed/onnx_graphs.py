"""The ONNX graphs of a precomputed reranker: compression, scoring, early-exit scores."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.train.export.trace import to_onnx
from secondpass.train.precomputed.module import (
    MASKED,
    PrecomputedConfig,
    PrecomputedModule,
    quantize_codes,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from secondpass.train.precomputed.token_scorer import TokenScorerConfig


class CompressModule(nn.Module):
    """Compresses states float32 [batch, tokens, width] to codes and scales."""

    def __init__(self, reranker: PrecomputedModule) -> None:
        super().__init__()
        self.compress = reranker.compress

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes int8 [batch, tokens, codes] and scales float32 [batch, tokens]."""
        codes, scales = quantize_codes(self.compress(states))
        return codes.to(torch.int8), scales


class ScoreModule(nn.Module):
    """Scores a batch of documents for one query, which is not padded."""

    def __init__(self, reranker: PrecomputedModule) -> None:
        super().__init__()
        self.reranker = reranker

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        document_codes: Tensor,
        document_scales: Tensor,
        document_mask: Tensor,
        document_embeddings: Tensor,
    ) -> Tensor:
        """Return float32 [batch]; shapes are those of model.onnx.

        The query's embedding is part of the interface, but not used by this score.
        """
        reranker = self.reranker
        codes = document_codes.to(torch.float32)
        document = codes * document_scales.unsqueeze(-1)
        document_bias = (1 - document_mask.to(torch.float32)) * MASKED
        mask = torch.ones_like(query_states[..., 0])
        query_bias = (1 - mask) * MASKED
        x = query_states[..., : reranker.config.hidden]
        for layer in reranker.query_layers():
            x = layer(x, query_bias, document, document_bias)
        score = reranker.score(x, mask, document_embeddings)
        if reranker.config.matching:
            # A query is [CLS] … [SEP]; neither counts as a word.
            query = functional.normalize(reranker.match_query(query_states), dim=-1)
            # A cosine does not depend on the scale, so the integers do.
            matched = functional.normalize(reranker.match_document(codes), dim=-1)
            score = score + reranker.match(query, _inner(mask), matched, document_bias)
        return score


def _inner(mask: Tensor) -> Tensor:
    """Return 1 except for the first and the last token, [1, tokens]."""
    position = mask.cumsum(1)
    last = position[:, -1:]
    return ((position > 1) & (position < last)).to(torch.float32)


class StartScoreModule(nn.Module):
    """Scores a batch of documents for one query without its layers, for early exit."""

    def __init__(self, reranker: PrecomputedModule) -> None:
        super().__init__()
        self.reranker = reranker

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        document_codes: Tensor,
        document_mask: Tensor,
        document_embeddings: Tensor,
    ) -> Tensor:
        """Return float32 [batch]: the cosine and the late-interaction feature."""
        reranker = self.reranker
        mask = torch.ones_like(query_states[..., 0])
        bias = (1 - document_mask.to(torch.float32)) * MASKED
        query = functional.normalize(reranker.match_query(query_states), dim=-1)
        matched = reranker.match_document(document_codes.to(torch.float32))
        # Divided by lengths after the product: a dozen values a token instead of a hundred.
        lengths = matched.norm(dim=-1).clamp(min=1e-12)
        cosines = query @ matched.transpose(1, 2) / lengths[:, None, :]
        score = reranker.match_cosines(cosines, _inner(mask), bias)
        cosine = (query_embedding * document_embeddings).sum(1)
        return score + reranker.scale * cosine + reranker.shift


def compress_graph(reranker: PrecomputedModule) -> ir.Model:
    """Return compress.onnx: `states` to `codes` and `scales`."""
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    return to_onnx(
        CompressModule(reranker),
        {"states": torch.rand(2, 7, reranker.config.width)},
        {"states": {0: batch, 1: tokens}},
        ["codes", "scales"],
    )


def score_graph(reranker: PrecomputedModule) -> ir.Model:
    """Return model.onnx: a query and documents to `scores`."""
    return trace_scores(ScoreModule(reranker), reranker.config)


def start_graph(reranker: PrecomputedModule) -> ir.Model:
    """Return start.onnx: the same without the query's layers; for a reranker with matching."""
    return trace_scores(StartScoreModule(reranker), reranker.config)


def trace_scores(
    module: nn.Module,
    config: PrecomputedConfig | TokenScorerConfig,
    outputs: Sequence[str] = ("scores",),
) -> ir.Model:
    """Trace a module that scores documents for one query, by default float32 [batch].

    Its inputs are named by the parameters of its `forward`, and have the shapes of `config`.
    """
    batch = torch.export.Dim("batch")
    # A query and a document have a special token at each end.
    words = torch.export.Dim("query_tokens", min=3)
    tokens = torch.export.Dim("document_tokens", min=3)
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[1, 5:] = 0
    query, document = {1: words}, {0: batch, 1: tokens}
    known: dict[str, tuple[Tensor, dict[int, Any] | None]] = {
        "query_states": (torch.rand(1, 5, config.width), query),
        "query_embedding": (torch.rand(1, config.hidden), None),
        "query_directions": (torch.rand(1, 5, config.matching), query),
        "document_codes": (torch.ones(2, 7, config.codes, dtype=torch.int8), document),
        "document_scales": (torch.rand(2, 7) + 0.1, document),
        "document_directions": (torch.rand(2, 7, config.matching), document),
        "document_mask": (mask, document),
        "document_embeddings": (torch.rand(2, config.hidden), {0: batch}),
    }
    names = list(inspect.signature(module.forward).parameters)
    return to_onnx(
        module,
        {name: known[name][0] for name in names},
        {name: known[name][1] for name in names},
        list(outputs),
    )
