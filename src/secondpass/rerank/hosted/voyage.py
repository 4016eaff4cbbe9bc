"""Voyage AI rerankers."""

from __future__ import annotations

import re

from secondpass.inference.unicode import clean
from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    parse_count,
    scores_by_index,
)
from secondpass.types import ScoreKind

_TOKENS_PER_DOCUMENT = {
    "rerank-2": 16_000,
    "rerank-2-lite": 8_000,
    "rerank-1": 8_000,
    "rerank-lite-1": 4_000,
}
_INSTRUCTED = re.compile(r"rerank-(?:2\.[5-9]|[3-9])")
_SMALL = ("rerank-1", "rerank-lite-1")


class Voyage(Provider):
    """Voyage AI, or a compatible server; long documents are truncated there."""

    name, title = "voyage", "Voyage AI"
    base_url = "https://api.voyageai.com/v1"
    base_url_variables = ("VOYAGE_BASE_URL",)
    key_variables = ("VOYAGE_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents and 600,000 tokens, or 300,000 for the oldest models.

        A fifth is kept in reserve, because tokens are estimated.
        """
        total = 300_000 if model in _SMALL else 600_000
        each = _TOKENS_PER_DOCUMENT.get(model, 32_000)
        return Limits(
            documents=1_000,
            tokens=total * 4 // 5,
            tokens_per_document=each,
            characters=8 * each,
        )

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity."""
        return ScoreKind.SIMILARITY

    def follows_instructions(self, model: str) -> bool:
        """Return True for rerank-2.5 and later models.

        Source: "rerank-2.5 and rerank-2.5-lite: Instruction-Following Rerankers", 2025.
        """
        return _INSTRUCTED.match(model) is not None

    def build_request(self, batch: Batch) -> HttpRequest:
        """Send the keys that the official client always sends, instructions in the query."""
        query = batch.query
        if batch.instructions is not None:
            query = f"{clean(batch.instructions)}\nQuery: {query}"
        body = {
            "query": query,
            "documents": list(batch.documents),
            "model": batch.model,
            "top_k": None,
            "truncation": True,
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `data` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "data"), len(batch.documents), score="relevance_score"
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
