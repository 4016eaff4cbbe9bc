"""Infinity, a self-hosted server."""

from __future__ import annotations

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


class Infinity(Provider):
    """A self-hosted server, version 0.0.78.

    `raw_scores` requests logits, which do not saturate; False requests probabilities.
    """

    name, title = "infinity", "Infinity"
    base_url_variables = ("INFINITY_BASE_URL",)
    key_variables = ("INFINITY_API_KEY",)
    key_required = False

    def __init__(self, *, raw_scores: bool = True) -> None:
        self.raw_scores = raw_scores

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents, and texts a little below the server's limit."""
        return Limits(documents=1_000, characters=120_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return logits, or probabilities without `raw_scores`."""
        return ScoreKind.LOGIT if self.raw_scores else ScoreKind.PROBABILITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores without the texts."""
        body = {
            "model": batch.model,
            "query": batch.query,
            "documents": list(batch.documents),
            "return_documents": False,
            "raw_scores": self.raw_scores,
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "results"),
            len(batch.documents),
            score="relevance_score",
            low=float("-inf") if self.raw_scores else 0,
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
