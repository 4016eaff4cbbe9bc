"""Cohere, versions 1 and 2 of its rerank endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import RerankRequest, parse_request

# A search unit is a query with up to this many documents.
_DOCUMENTS_PER_UNIT = 100


def parse_v1(body: Body) -> RerankRequest:
    """Parse a request of version 1: of documents that are objects, `rank_fields` are read."""
    return parse_request(body, rank_fields="rank_fields")


def parse_v2(body: Body) -> RerankRequest:
    """Parse a request of version 2, in which `model` is required.

    `return_documents` is no longer part of this version, but other clients send it here.
    """
    body.text("model")
    return parse_request(body)


def write_v1(reply: RerankReply) -> dict[str, Any]:
    """Return the response of version 1, with documents as objects."""
    return _write(reply, {"version": "1"})


def write_v2(reply: RerankReply) -> dict[str, Any]:
    """Return the response of version 2."""
    return _write(reply, {"version": "2", "is_experimental": False})


def _write(reply: RerankReply, version: Mapping[str, Any]) -> dict[str, Any]:
    units = math.ceil(len(reply.request.originals) / _DOCUMENTS_PER_UNIT)
    return {
        "id": reply.id,
        "model": reply.model,
        "results": result_rows(reply),
        "meta": {
            "api_version": dict(version),
            "billed_units": {"search_units": units},
            "tokens": {"input_tokens": reply.tokens, "output_tokens": 0},
        },
        "usage": usage(reply),
    }


def result_rows(reply: RerankReply) -> list[dict[str, Any]]:
    """Return index, score and, where it was asked for, the document as an object."""

    def document(index: int) -> dict[str, Any]:
        original = reply.request.originals[index]
        return dict(original) if isinstance(original, Mapping) else {"text": original}

    return reply.rows(document)


COHERE_V1 = rerank_operation("cohere-v1", parse_v1, write_v1)
COHERE_V2 = rerank_operation("cohere-v2", parse_v2, write_v2)
