"""Cohere, versions 1 and 2 of its rerank endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from secondpass.server.request_fields import Refused, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import (
    MAX_CHUNKS_PER_DOC,
    MAX_TOKENS_PER_DOC,
    MODEL,
    PRIORITY,
    RANK_FIELDS,
    SHARED_FIELDS,
    parse_request,
)

# A search unit is a query with up to this many documents.
_DOCUMENTS_PER_UNIT = 100


_V1_FIELDS = RequestFields(
    "Cohere, version 1",
    "/cohere/v1/rerank",
    {
        **SHARED_FIELDS,
        "rank_fields": RANK_FIELDS,
        "max_chunks_per_doc": MAX_CHUNKS_PER_DOC,
        "max_tokens_per_doc": MAX_TOKENS_PER_DOC,
    },
)
# `return_documents` and `rank_fields` are those of version 1, but clients send them here too.
_V2_FIELDS = RequestFields(
    "Cohere, version 2",
    "/cohere/v2/rerank",
    {
        **SHARED_FIELDS,
        "model": replace(MODEL, required=True),
        "rank_fields": RANK_FIELDS,
        "max_tokens_per_doc": MAX_TOKENS_PER_DOC,
        "priority": PRIORITY,
        "relevant_spans": Refused(
            "the models here score whole documents and give no spans",
            unless=({"mode": "disabled"},),
        ),
    },
)


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
        "results": reply.rows(reply.document),
        "meta": {
            "api_version": dict(version),
            "billed_units": {"search_units": units},
            "tokens": {"input_tokens": reply.tokens, "output_tokens": 0},
            **({"warnings": list(reply.warnings)} if reply.warnings else {}),
        },
        "usage": usage(reply),
    }


COHERE_V1 = rerank_operation("cohere-v1", _V1_FIELDS, parse_request, write_v1)
COHERE_V2 = rerank_operation("cohere-v2", _V2_FIELDS, parse_request, write_v2)
