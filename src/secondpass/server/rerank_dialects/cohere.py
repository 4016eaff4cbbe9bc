"""Cohere, versions 1 and 2 of its rerank endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect, message, usage
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest, asked

# A search unit is a query with up to so many documents.
_DOCUMENTS_A_UNIT = 100


def read_v1(body: Body) -> RerankRequest:
    """Read version 1: documents may be objects, of which `rank_fields` are read."""
    return asked(body, rank_fields="rank_fields")


def read_v2(body: Body) -> RerankRequest:
    """Read version 2: a model is needed; others send `return_documents` all the same."""
    body.text("model")
    return asked(body)


def write_v1(answered: RerankReply) -> dict[str, Any]:
    """Return version 1's answer, with documents as objects where they were asked for."""
    return _answer(answered, {"version": "1"})


def write_v2(answered: RerankReply) -> dict[str, Any]:
    """Return version 2's answer."""
    return _answer(answered, {"version": "2", "is_experimental": False})


def _answer(answered: RerankReply, version: Mapping[str, Any]) -> dict[str, Any]:
    units = math.ceil(len(answered.ask.given) / _DOCUMENTS_A_UNIT)
    return {
        "id": answered.id,
        "model": answered.model,
        "results": results(answered),
        "meta": {"api_version": dict(version), "billed_units": {"search_units": units}},
        "usage": usage(answered),
    }


def results(answered: RerankReply) -> list[dict[str, Any]]:
    """Return index, score and, where it was asked for, the document as an object."""

    def document(place: int) -> dict[str, Any]:
        given = answered.ask.given[place]
        return dict(given) if isinstance(given, Mapping) else {"text": given}

    return answered.rows(document)


V1 = Dialect("cohere-v1", read_v1, write_v1, message)
V2 = Dialect("cohere-v2", read_v2, write_v2, message)
