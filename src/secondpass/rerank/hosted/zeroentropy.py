"""ZeroEntropy's rerankers."""

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


class ZeroEntropy(Provider):
    """ZeroEntropy, with models such as "zerank-2".

    Its scores are from 0 to 1 and depend on query and document alone.

    Source: "Rerank" in ZeroEntropy's API reference.
    """

    name, title = "zeroentropy", "ZeroEntropy"
    base_url = "https://api.zeroentropy.dev/v1"
    base_url_variables = ("ZEROENTROPY_BASE_URL",)
    key_variables = ("ZEROENTROPY_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents of 2,000,000 bytes together.

        A request may have 5,000,000 bytes, where the query and 150 bytes more count once for
        each document.
        """
        return Limits(documents=1_000, bytes=2_000_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores."""
        body = {
            "model": batch.model,
            "query": batch.query,
            "documents": list(batch.documents),
        }
        return HttpRequest("/models/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results` and the number of tokens."""
        scores = scores_by_index(
            json_value(response.body, "results"),
            len(batch.documents),
            score="relevance_score",
            low=0,
        )
        return BatchScores(scores, parse_count(json_value(response.body, "total_tokens")))
