"""The inference container behind Weaviate's module reranker-transformers."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest


def read(body: Body) -> RerankRequest:
    """Read a request: `documents`, or one text under `property`."""
    query = body.text("query")
    if not query.strip():
        raise invalid("query is blank")
    texts = body.texts("documents")
    if texts is None:
        one = body.text("property")
        return RerankRequest(query, one, (one,), raw=True)
    if not texts:
        raise invalid("documents is empty")
    return RerankRequest(query, texts, texts, raw=True)


def write(answered: RerankReply) -> dict[str, Any]:
    """Return the container's answer: scores in the order of the request."""
    ask = answered.ask
    scores = {r.index: answered.score(r) for r in answered.response.results}
    rows = [{"document": text, "score": scores[i]} for i, text in enumerate(ask.documents)]
    if isinstance(ask.given, str):
        return {"query": ask.query, "property": ask.given, "score": scores[0], "scores": None}
    return {"query": ask.query, "scores": rows, "property": None, "score": None}


def fail(problem: HttpError, request: str) -> dict[str, str]:
    """Return the container's form of an error; the database decodes it before the status."""
    return {"error": problem.message}


WEAVIATE = Dialect("weaviate", read, write, fail, open=True)
