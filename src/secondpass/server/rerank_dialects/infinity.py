"""Infinity's rerank endpoint."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.request_fields import RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, openai_error, usage
from secondpass.server.rerank_dialects.schemas import (
    RAW_SCORES,
    SHARED_FIELDS,
    RerankRequest,
    parse_request,
)

_FIELDS = RequestFields(
    "Infinity", "/infinity/rerank", {**SHARED_FIELDS, "raw_scores": RAW_SCORES}
)


def parse(body: Body) -> RerankRequest:
    """Parse a request, which may ask for raw scores."""
    return replace(parse_request(body), raw_scores=body.flag("raw_scores"))


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Infinity's response; `document` is a text or null."""
    request = reply.request
    rows = [
        {
            "relevance_score": reply.score(result),
            "index": result.index,
            "document": request.documents[result.index] if request.return_documents else None,
        }
        for result in reply.response.results
    ]
    return {
        "object": "rerank",
        "results": rows,
        "model": reply.model,
        "usage": usage(reply),
        "id": f"infinity-{reply.id}",
        "created": int(time.time()),
    }


INFINITY = rerank_operation("infinity", _FIELDS, parse, write, openai_error)
