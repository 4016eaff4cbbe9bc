"""Jina's rerank endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.cohere import result_rows
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import RerankRequest, parse_request


def parse(body: Body) -> RerankRequest:
    """Parse a request; documents are returned unless the client declines them."""
    query = body.found.get("query")
    if isinstance(query, dict):
        if not isinstance(query.get("text"), str):
            raise invalid("query has no text")
        body = Body({**body.found, "query": query["text"]})
    return_documents = body.flag("return_documents", True)
    return replace(parse_request(body), return_documents=return_documents)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Jina's response."""
    return {
        "model": reply.model,
        "object": "list",
        "usage": usage(reply),
        "results": result_rows(reply),
    }


JINA = rerank_operation("jina", parse, write)
