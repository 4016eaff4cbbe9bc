"""Mixedbread's reranking endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.request_fields import Refused, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import (
    DOCUMENTS,
    MODEL,
    QUERY,
    RANK_FIELDS,
    RETURN_DOCUMENTS,
    TOP_N,
    RerankRequest,
    parse_request,
)

_FIELDS = RequestFields(
    "Mixedbread",
    "/mixedbread/v1/reranking",
    {
        "query": QUERY,
        "input": DOCUMENTS,
        "model": MODEL,
        "top_k": TOP_N,
        "return_input": RETURN_DOCUMENTS,
        "rank_fields": RANK_FIELDS,
        "rewrite_query": Refused(
            "reranking rewrites no query: send the one that is meant", unless=(False,)
        ),
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request, whose documents are under `input`."""
    return parse_request(body, "input", top_n="top_k", return_documents="return_input")


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


MIXEDBREAD = rerank_operation("mixedbread", _FIELDS, parse, write)
