"""Mixedbread reranking."""

from __future__ import annotations

from typing import Any

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


class Mixedbread(Provider):
    """Mixedbread, or a compatible server; it accepts documents of several fields."""

    name, title = "mixedbread", "Mixedbread"
    base_url = "https://api.mixedbread.com"
    base_url_variables = ("MIXEDBREAD_BASE_URL",)
    key_variables = ("MXBAI_API_KEY",)
    structure = "fields"

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents: no limit is documented."""
        return Limits(documents=1_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores: by default the service returns the best ten."""
        body: dict[str, Any] = {
            "model": batch.model if "/" in batch.model else f"mixedbread-ai/{batch.model}",
            "query": batch.query,
            "input": list(batch.documents),
            "top_k": len(batch.documents),
            "return_input": False,
        }
        if batch.fields:
            body["rank_fields"] = list(batch.fields)
        return HttpRequest("/v1/reranking", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `data` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "data"), len(batch.documents), score="score"
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
