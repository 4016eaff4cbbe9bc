"""The inference container of Weaviate's module reranker-transformers."""

from __future__ import annotations

from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    parse_number,
)
from secondpass.types import ScoreKind


class Weaviate(Provider):
    """A self-hosted container, with the model that it was built with, without keys.

    Its scores are on the scale of that model, which the container does not report.
    """

    name, title = "weaviate", "The Weaviate container"
    base_url_variables = ("RERANKER_INFERENCE_API",)
    key_required = False
    model_required = False

    def limits(self, model: str) -> Limits:
        """Return 32 documents, as many as the database sends."""
        return Limits(documents=32, characters=40_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Send the request of the database, with its empty `property`."""
        body = {"query": batch.query, "documents": list(batch.documents), "property": ""}
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `scores`, which are in the order of the request and repeat its texts."""
        rows = json_value(response.body, "scores")
        if not isinstance(rows, list) or len(rows) != len(batch.documents):
            count = len(rows) if isinstance(rows, list) else "no"
            raise ValueError(f"it has {count} results for {len(batch.documents)} documents")
        for position, (row, text) in enumerate(zip(rows, batch.documents, strict=True)):
            if json_value(row, "document") not in (text, None):
                raise ValueError(f"result {position} is of another document")
        return BatchScores([parse_number(json_value(row, "score"), "score") for row in rows])
