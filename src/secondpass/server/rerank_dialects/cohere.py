"""Cohere, versions 1 and 2 of its rerank endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from secondpass.option_types import Choice, Count, Number
from secondpass.rerank.spans import Spans
from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, usage
from secondpass.server.rerank_dialects.schemas import (
    MAX_CHUNKS_PER_DOC,
    MAX_TOKENS_PER_DOC,
    MODEL,
    PRIORITY,
    RANK_FIELDS,
    SHARED_FIELDS,
    RerankRequest,
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
        "relevant_spans.mode": Honored(
            "`enabled`: each result has the sentences that answer, best first, as `start` and "
            "`end` in code points of the text that is read and a `score` from 0 to 1: the "
            "chance that the sentence answers, if one of the document does",
            Choice(("enabled", "disabled")),
        ),
        "relevant_spans.threshold": Honored(
            "the lowest `score` of a span, 0.1 by default", Number(minimum=0, maximum=1)
        ),
        "relevant_spans.max_spans": Honored(
            "how many spans a result has at most, all by default", Count()
        ),
    },
)


def parse_v2(body: Body) -> RerankRequest:
    """Parse a request of version 2; raises HttpError (400) for spans without a mode."""
    request = parse_request(body)
    wanted = body.fields.get("relevant_spans")
    if wanted is None:
        return request
    if wanted.get("mode") is None:
        raise invalid("relevant_spans.mode is missing")
    if wanted["mode"] == "disabled":
        return request
    limits = {n: wanted[n] for n in ("threshold", "max_spans") if wanted.get(n) is not None}
    spans = Spans(**{"max_spans": None, **limits})
    return replace(request, reading={**request.reading, "spans": spans})


def write_v1(reply: RerankReply) -> dict[str, Any]:
    """Return the response of version 1, with documents as objects."""
    return _write(reply, {"version": "1"})


def write_v2(reply: RerankReply) -> dict[str, Any]:
    """Return the response of version 2."""
    return _write(reply, {"version": "2", "is_experimental": False})


def _write(reply: RerankReply, version: Mapping[str, Any]) -> dict[str, Any]:
    rows = reply.rows(reply.document)
    for row, result in zip(rows, reply.response.results, strict=True):
        if result.spans:
            row["relevant_spans"] = [
                {"start": span.start, "end": span.end, "score": span.probability}
                for span in result.spans
            ]
    units = math.ceil(len(reply.request.originals) / _DOCUMENTS_PER_UNIT)
    return {
        "id": reply.id,
        "model": reply.model,
        "results": rows,
        "meta": {
            "api_version": dict(version),
            "billed_units": {"search_units": units},
            "tokens": {"input_tokens": reply.tokens, "output_tokens": 0},
            **({"warnings": list(reply.warnings)} if reply.warnings else {}),
        },
        "usage": usage(reply),
    }


COHERE_V1 = rerank_operation("cohere-v1", _V1_FIELDS, parse_request, write_v1)
COHERE_V2 = rerank_operation("cohere-v2", _V2_FIELDS, parse_v2, write_v2)
