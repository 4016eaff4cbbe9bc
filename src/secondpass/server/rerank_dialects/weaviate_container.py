"""The inference container behind Weaviate's module reranker-transformers."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import QUERY, RerankRequest

_FIELDS = RequestFields(
    "Weaviate's reranker container",
    "/weaviate-reranker/rerank",
    {
        "query": QUERY,
        "documents": Honored("the texts to score, in the order of the reply"),
        "property": Honored("the one text to score, where there are no `documents`"),
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request: `documents`, or one text under `property`."""
    query = body.text("query")
    if not query.strip():
        raise invalid("query is blank")
    texts = body.texts("documents")
    if texts is None:
        text = body.text("property")
        return RerankRequest(query, text, (text,), raw_scores=True)
    if not texts:
        raise invalid("documents is empty")
    return RerankRequest(query, texts, texts, raw_scores=True)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return the container's response: scores in the order of the request."""
    request = reply.request
    scores = {r.index: reply.score(r) for r in reply.response.results}
    if isinstance(request.originals, str):
        return {
            "query": request.query,
            "property": request.originals,
            "score": scores[0],
            "scores": None,
        }
    rows = [{"document": t, "score": scores[i]} for i, t in enumerate(request.documents)]
    return {"query": request.query, "scores": rows, "property": None, "score": None}


def error_body(error: HttpError, request_id: str) -> dict[str, str]:
    """Return an error in the container's form; the database decodes it before the status."""
    return {"error": error.message}


WEAVIATE_CONTAINER = rerank_operation("weaviate", _FIELDS, parse, write, error_body)
