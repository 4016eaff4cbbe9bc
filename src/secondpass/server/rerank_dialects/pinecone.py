"""Pinecone's rerank endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from secondpass.option_types import Choice, Flag
from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import (
    RANK_FIELDS,
    SHARED_FIELDS,
    RerankRequest,
    parse_request,
)

_FIELDS = RequestFields(
    "Pinecone",
    "/pinecone/rerank",
    {
        **SHARED_FIELDS,
        "return_documents": Honored("whether results have their documents, true", Flag()),
        "rank_fields": RANK_FIELDS,
        "parameters.truncate": Honored(
            "`NONE`: a text that is too long to be read whole is an error instead of a warning",
            Choice(("END", "NONE")),
        ),
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request; documents are returned unless the client declines them."""
    whole = body.part("parameters").text("truncate", "END") == "NONE"
    return replace(
        parse_request(body),
        return_documents=body.flag("return_documents", True),
        reading={"truncate": False} if whole else {},
    )


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Pinecone's response, whose results are under `data`."""
    rows = []
    for result in reply.response.results:
        row: dict[str, Any] = {"index": result.index, "score": reply.score(result)}
        if reply.request.return_documents:
            row["document"] = reply.document(result.index)
        rows.append(row)
    return {"model": reply.model, "data": rows, "usage": {"rerank_units": 1}}


def error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error in Pinecone's form."""
    codes = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    code = codes.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "UNKNOWN")
    return {"error": {"code": code, "message": error.message}, "status": error.status}


PINECONE = rerank_operation("pinecone", _FIELDS, parse, write, error_body)
