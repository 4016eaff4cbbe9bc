"""Voyage AI's rerank endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect, message
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest, asked


def read(body: Body) -> RerankRequest:
    """Read a request; the model is needed, and the documents are texts."""
    body.text("model")
    body.texts("documents")
    return asked(body, top="top_k")


def write(answered: RerankReply) -> dict[str, Any]:
    """Return Voyage's answer, whose results are under `data`."""
    return {
        "object": "list",
        "data": rows(answered),
        "model": answered.model,
        "usage": {"total_tokens": answered.tokens},
    }


def rows(answered: RerankReply) -> list[dict[str, Any]]:
    """Return index, score and, where it was asked for, the text."""
    return answered.rows(lambda place: answered.ask.documents[place])


VOYAGE = Dialect("voyage", read, write, message)
