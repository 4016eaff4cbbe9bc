"""Hugging Face's Text Embeddings Inference: its rerank endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest

_KINDS = {"invalid": "Validation", "busy": "Overloaded", "late": "Backend", "empty": "Empty"}


def read(body: Body) -> RerankRequest:
    """Read a request; all texts come back."""
    query = body.text("query")
    texts = body.texts("texts")
    if texts is None:
        raise invalid("texts is missing")
    if not texts:
        raise HttpError(400, "empty", "`texts` is empty")
    if not query.strip():
        raise invalid("query is blank")
    return RerankRequest(
        query, texts, texts, echo=body.flag("return_text"), raw=body.flag("raw_scores")
    )


def write(answered: RerankReply) -> list[dict[str, Any]]:
    """Return TEI's answer, a list."""
    found = []
    for result in answered.response.results:
        row: dict[str, Any] = {"index": result.index}
        if answered.ask.echo:
            row["text"] = answered.ask.documents[result.index]
        found.append({**row, "score": answered.score(result)})
    return found


def fail(problem: HttpError, request: str) -> dict[str, str]:
    """Return TEI's form of an error."""
    return {"error": problem.message, "error_type": _KINDS.get(problem.kind, "Backend")}


TEI = Dialect("tei", read, write, fail)
