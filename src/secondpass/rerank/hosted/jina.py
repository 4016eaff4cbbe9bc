"""Jina Reranker."""

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


class Jina(Provider):
    """Jina, or a compatible server.

    From version 3 on its models read all documents of a request together, so that their
    scores order one response only.
    """

    name, title = "jina", "Jina"
    base_url = "https://api.jina.ai/v1"
    base_url_variables = ("JINA_BASE_URL",)
    key_variables = ("JINA_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents, as many as existing clients send."""
        return Limits(documents=1_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a rank for the listwise models, else a similarity."""
        return ScoreKind.RANK if model.startswith("jina-reranker-v3") else ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores, without the texts that are returned by default."""
        body = {
            "model": batch.model,
            "query": batch.query,
            "documents": list(batch.documents),
            "top_n": len(batch.documents),
            "return_documents": False,
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "results"), len(batch.documents), score="relevance_score"
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
