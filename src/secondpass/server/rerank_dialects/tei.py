"""Text Embeddings Inference (TEI), Hugging Face's server: its rerank endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import RerankRequest

_ERROR_TYPES = {
    "invalid": "Validation",
    "busy": "Overloaded",
    "late": "Backend",
    "empty": "Empty",
}


def parse(body: Body) -> RerankRequest:
    """Parse a request; all texts come back, as there is no top-n."""
    query = body.text("query")
    texts = body.texts("texts")
    if texts is None:
        raise invalid("texts is missing")
    if not texts:
        raise HttpError(400, "empty", "`texts` is empty")
    if not query.strip():
        raise invalid("query is blank")
    return RerankRequest(
        query,
        texts,
        texts,
        return_documents=body.flag("return_text"),
        raw_scores=body.flag("raw_scores"),
    )


def write(reply: RerankReply) -> list[dict[str, Any]]:
    """Return TEI's response, a list."""
    rows = []
    for result in reply.response.results:
        row: dict[str, Any] = {"index": result.index}
        if reply.request.return_documents:
            row["text"] = reply.request.documents[result.index]
        rows.append({**row, "score": reply.score(result)})
    return rows


def error_body(error: HttpError, request_id: str) -> dict[str, str]:
    """Return an error in TEI's form."""
    return {"error": error.message, "error_type": _ERROR_TYPES.get(error.kind, "Backend")}


TEI = rerank_operation("tei", parse, write, error_body)
