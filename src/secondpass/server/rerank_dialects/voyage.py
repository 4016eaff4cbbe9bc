"""Voyage AI's rerank endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest, parse_request


def parse(body: Body) -> RerankRequest:
    """Parse a request; `model` is required, and the documents are texts."""
    body.text("model")
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


VOYAGE = rerank_operation("voyage", parse, write)
