"""Mixedbread's reranking endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import RerankRequest, parse_request


def parse(body: Body) -> RerankRequest:
    """Parse a request, whose documents are under `input`."""
    return parse_request(
        body, "input", top_n="top_k", return_documents="return_input", rank_fields="rank_fields"
    )


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Mixedbread's response."""
    request = reply.request
    rows = [
        {
            "index": result.index,
            "score": reply.score(result),
            "input": request.originals[result.index] if request.return_documents else None,
            "object": "rank_result",
        }
        for result in reply.response.results
    ]
    return {
        "usage": usage(reply),
        "model": reply.model,
        "data": rows,
        "object": "list",
        "top_k": len(rows) if request.top_n is None else request.top_n,
        "return_input": request.return_documents,
    }


MIXEDBREAD = rerank_operation("mixedbread", parse, write)
