"""The two ONNX graphs of a reader: one makes codes, the other reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.train.export.trace import to_onnx
from secondpass.train.precomputed.module import MASKED, PrecomputedModule, quantise_codes

if TYPE_CHECKING:
    import onnx_ir as ir


class Compressing(nn.Module):
    """States float32 [batch, tokens, width] to codes and scales."""

    def __init__(self, reader: PrecomputedModule) -> None:
        super().__init__()
        self.compress = reader.compress

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes int8 [batch, tokens, codes] and scales float32 [batch, tokens]."""
        codes, scales = quantise_codes(self.compress(states))
        return codes.to(torch.int8), scales


class Scoring(nn.Module):
    """One query, not padded, and a batch of documents to logits."""

    def __init__(self, reader: PrecomputedModule) -> None:
        super().__init__()
        self.reader = reader

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        document_codes: Tensor,
        document_scales: Tensor,
        document_mask: Tensor,
        document_embeddings: Tensor,
    ) -> Tensor:
        """Return float32 [batch]; shapes are those of the reader's model.onnx.

        The query's embedding is part of the interface, not of this kind of score.
        """
        reader = self.reader
        codes = document_codes.to(torch.float32)
        document = codes * document_scales.unsqueeze(-1)
        document_bias = (1 - document_mask.to(torch.float32)) * MASKED
        mask = torch.ones_like(query_states[..., 0])
        query_bias = (1 - mask) * MASKED
        x = query_states[..., : reader.config.hidden]
        for layer in reader.reading_layers():
            x = layer(x, query_bias, document, document_bias)
        score = reader.judge(x, mask, document_embeddings)
        if reader.config.matching:
            # A query is [CLS] … [SEP]; neither counts as a word.
            asked = functional.normalize(reader.match_query(query_states), dim=-1)
            # A cosine does not see the scale, so whole numbers do.
            found = functional.normalize(reader.match_document(codes), dim=-1)
            score = score + reader.match(asked, _inner(mask), found, document_bias)
        return score


def _inner(mask: Tensor) -> Tensor:
    """Return ones but for the first and the last token, [1, tokens]."""
    place = mask.cumsum(1)
    last = place[:, -1:]
    return ((place > 1) & (place < last)).to(torch.float32)


class Starting(nn.Module):
    """One query, not padded, and a batch of documents to what reading starts from."""

    def __init__(self, reader: PrecomputedModule) -> None:
        super().__init__()
        self.reader = reader

    def forward(
        self,
        query_states: Tensor,
        query_embedding: Tensor,
        document_codes: Tensor,
        document_mask: Tensor,
        document_embeddings: Tensor,
    ) -> Tensor:
        """Return float32 [batch]: the cosine and the late-interaction feature."""
        reader = self.reader
        mask = torch.ones_like(query_states[..., 0])
        bias = (1 - document_mask.to(torch.float32)) * MASKED
        asked = functional.normalize(reader.match_query(query_states), dim=-1)
        found = reader.match_document(document_codes.to(torch.float32))
        # Divided by lengths after the product: a dozen numbers a token, not a hundred.
        lengths = found.norm(dim=-1).clamp(min=1e-12)
        cosines = asked @ found.transpose(1, 2) / lengths[:, None, :]
        score = reader.match_cosines(cosines, _inner(mask), bias)
        cosine = (query_embedding * document_embeddings).sum(1)
        return score + reader.scale * cosine + reader.shift


def compress_graph(reader: PrecomputedModule) -> ir.Model:
    """Return compress.onnx: `states` to `codes` and `scales`."""
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    return to_onnx(
        Compressing(reader),
        {"states": torch.rand(2, 7, reader.config.width)},
        {"states": {0: batch, 1: tokens}},
        ["codes", "scales"],
    )


def score_graph(reader: PrecomputedModule) -> ir.Model:
    """Return model.onnx: a query and documents to `scores`."""
    return _traced(Scoring(reader), reader)


def start_graph(reader: PrecomputedModule) -> ir.Model:
    """Return start.onnx: the same, without reading; for a reader with matching."""
    return _traced(Starting(reader), reader)


def _traced(module: Scoring | Starting, reader: PrecomputedModule) -> ir.Model:
    shape = reader.config
    batch = torch.export.Dim("batch")
    asked, tokens = torch.export.Dim("query_tokens", min=3), torch.export.Dim("document_tokens")
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[1, 5:] = 0
    inputs = {
        "query_states": torch.rand(1, 5, shape.width),
        "query_embedding": torch.rand(1, shape.hidden),
        "document_codes": torch.ones(2, 7, shape.codes, dtype=torch.int8),
        "document_scales": torch.rand(2, 7) + 0.1,
        "document_mask": mask,
        "document_embeddings": torch.rand(2, shape.hidden),
    }
    document = {0: batch, 1: tokens}
    shapes: dict[str, Any] = {
        "query_states": {1: asked},
        "query_embedding": None,
        "document_codes": document,
        "document_scales": document,
        "document_mask": document,
        "document_embeddings": {0: batch},
    }
    if isinstance(module, Starting):
        del inputs["document_scales"], shapes["document_scales"]
    return to_onnx(module, inputs, shapes, ["scores"])
