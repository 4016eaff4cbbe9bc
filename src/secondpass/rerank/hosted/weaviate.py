"""The inference container behind Weaviate's module reranker-transformers."""

from __future__ import annotations

from secondpass.rerank.hosted.provider import (
    Call,
    Limits,
    Parsed,
    Provider,
    Reply,
    Request,
    member,
    number,
)
from secondpass.types import ScoreKind


class Weaviate(Provider):
    """A container of one's own, with the model that it was built with, without keys.

    Its scores are on the scale of that model, which the container does not tell.
    """

    name, title = "weaviate", "The Weaviate container"
    base_url_variables = ("RERANKER_INFERENCE_API",)
    key_needed = False
    model_needed = False

    def limits(self, model: str) -> Limits:
        """Return 32 documents, as much as the database sends."""
        return Limits(documents=32, characters=40_000)

    def kind(self, model: str) -> ScoreKind:
        """Return a closeness."""
        return ScoreKind.SIMILARITY

    def request(self, call: Call) -> Request:
        """Ask as the database does, with its empty `property`."""
        body = {"query": call.query, "documents": list(call.documents), "property": ""}
        return Request("/rerank", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read `scores`, which stand in the order of the request and repeat its texts."""
        rows = member(reply.body, "scores")
        if not isinstance(rows, list) or len(rows) != len(call.documents):
            found = len(rows) if isinstance(rows, list) else "no"
            raise ValueError(f"it has {found} results for {len(call.documents)} documents")
        for position, (row, text) in enumerate(zip(rows, call.documents, strict=True)):
            if member(row, "document") not in (text, None):
                raise ValueError(f"result {position} is of another document")
        return Parsed([number(member(row, "score"), "score") for row in rows])
