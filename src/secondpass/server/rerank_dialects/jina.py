"""Jina's rerank endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.cohere import results
from secondpass.server.rerank_dialects.responses import Dialect, message, usage
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest, asked


def read(body: Body) -> RerankRequest:
    """Read a request; documents come back unless the client says no."""
    query = body.found.get("query")
    if isinstance(query, dict):
        if not isinstance(query.get("text"), str):
            raise invalid("query has no text")
        body = Body({**body.found, "query": query["text"]})
    return replace(asked(body), echo=body.flag("return_documents", True))


def write(answered: RerankReply) -> dict[str, Any]:
    """Return Jina's answer."""
    return {
        "model": answered.model,
        "object": "list",
        "usage": usage(answered),
        "results": results(answered),
    }


JINA = Dialect("jina", read, write, message)
