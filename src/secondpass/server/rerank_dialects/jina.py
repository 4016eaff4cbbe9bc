"""Jina's rerank endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from secondpass.option_types import Count, Flag
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, Refused, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import (
    MAX_TOKENS_PER_DOC,
    SHARED_FIELDS,
    TRUNCATION,
    RerankRequest,
    parse_reading,
    parse_request,
)

_FIELDS = RequestFields(
    "Jina",
    "/jina/v1/rerank",
    {
        **SHARED_FIELDS,
        "return_documents": Honored("whether results have their documents, true", Flag()),
        "truncation": TRUNCATION,
        "max_doc_length": MAX_TOKENS_PER_DOC,
        "max_query_length": Honored("how many tokens of the query are read at most", Count()),
        "return_embeddings": Refused("reranking computes no embeddings", unless=(False,)),
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request; documents are returned unless the client declines them."""
    query = body.fields.get("query")
    if isinstance(query, dict):
        if not isinstance(query.get("text"), str):
            raise invalid("query has no text")
        body = Body({**body.fields, "query": query["text"]})
    return_documents = body.flag("return_documents", True)
    reading = parse_reading(
        body, tokens="max_doc_length", query_tokens="max_query_length", truncate="truncation"
    )
    request = parse_request(body)
    return replace(request, return_documents=return_documents, reading=reading)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return Jina's response."""
    return {
        "model": reply.model,
        "object": "list",
        "usage": usage(reply),
        "results": reply.rows(reply.document),
    }


JINA = rerank_operation("jina", _FIELDS, parse, write)
