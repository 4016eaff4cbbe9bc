"""The inference container behind Weaviate's module reranker-transformers."""

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
    """A container of one's own, with the model that it was built with, without keys.

    Its scores are on the scale of that model, which the container does not tell.
    """

    name, title = "weaviate", "The Weaviate container"
    base_url_variables = ("RERANKER_INFERENCE_API",)
    key_required = False
    model_required = False

    def limits(self, model: str) -> Limits:
        """Return 32 documents, as much as the database sends."""
        return Limits(documents=32, characters=40_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a closeness."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Ask as the database does, with its empty `property`."""
        body = {"query": batch.query, "documents": list(batch.documents), "property": ""}
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `scores`, which stand in the order of the request and repeat its texts."""
        rows = json_value(response.body, "scores")
        if not isinstance(rows, list) or len(rows) != len(batch.documents):
            found = len(rows) if isinstance(rows, list) else "no"
            raise ValueError(f"it has {found} results for {len(batch.documents)} documents")
        for position, (row, text) in enumerate(zip(rows, batch.documents, strict=True)):
            if json_value(row, "document") not in (text, None):
                raise ValueError(f"result {position} is of another document")
        return BatchScores([parse_number(json_value(row, "score"), "score") for row in rows])
