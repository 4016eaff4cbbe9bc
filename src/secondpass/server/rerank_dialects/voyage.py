"""Voyage AI's rerank endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import (
    MODEL,
    QUERY,
    RETURN_DOCUMENTS,
    TOP_N,
    TRUNCATION,
    RerankRequest,
    parse_request,
)

_FIELDS = RequestFields(
    "Voyage AI",
    "/voyage/v1/rerank",
    {
        "query": QUERY,
        "documents": Honored("the documents, which are texts", required=True),
        "model": MODEL,
        "top_k": TOP_N,
        "return_documents": RETURN_DOCUMENTS,
        "truncation": TRUNCATION,
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request, whose documents are texts."""
    body.texts("documents")
    return parse_request(body, top_n="top_k")


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Voyage's response, whose results are under `data`."""
    return {
        "object": "list",
        "data": data_rows(reply),
        "model": reply.model,
        "usage": {"total_tokens": reply.tokens},
    }


def data_rows(reply: RerankReply) -> list[dict[str, Any]]:
    """Return index, score and, where it was asked for, the text."""
    return reply.rows(lambda index: reply.request.documents[index])


VOYAGE = rerank_operation("voyage", _FIELDS, parse, write)
