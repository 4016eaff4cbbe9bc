"""What metadata says about a document that went through a reranker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.types import RankedDocument, RerankResponse


def with_outcome(
    metadata: Mapping[str, Any], response: RerankResponse, result: RankedDocument
) -> dict[str, Any]:
    """Return a copy of the metadata that says what happened to one document.

    A fallback has `rerank_status` "fallback" and `rerank_scored` False. What there is nothing
    to say about is left out: `rerank_model`, `rerank_reason`, `rerank_probability` (0 to 1)
    and `rerank_unread` (characters that were not read). What an earlier reranker said under
    these names goes.
    """
    said = {
        "rerank_status": response.status.value,
        "rerank_scored": result.scored,
        "rerank_score_kind": result.score_kind.value,
        "rerank_model": response.model,
        "rerank_reason": response.reason,
        "rerank_probability": result.probability,
        "rerank_unread": result.unread if result.truncated else None,
    }
    kept = {name: value for name, value in metadata.items() if name not in said}
    return kept | {name: value for name, value in said.items() if value is not None}
