"""Text Embeddings Inference (TEI), Hugging Face's server: its rerank endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.option_types import Choice, Flag
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, NoEffect, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply
from secondpass.server.rerank_dialects.schemas import QUERY, RAW_SCORES, RerankRequest

_ERROR_TYPES = {
    "invalid": "Validation",
    "too many": "Validation",
    "too long": "Validation",
    "busy": "Overloaded",
    "late": "Backend",
    "empty": "Empty",
}


# As TEI has it in its source, not in its published document.
STATUSES = {"too many": 413, "too long": 413}
TRUNCATION_DIRECTION = Honored(
    "`Left`: the end is read of a text that is too long to be read whole; of a long query "
    "both ends are read always",
    Choice(("Right", "Left")),
)
_FIELDS = RequestFields(
    "Text Embeddings Inference",
    "/tei/rerank",
    {
        "query": QUERY,
        "texts": Honored("the texts to rank", required=True),
        "truncate": Honored(
            "false: a text that is too long to be read whole is an error (413) instead of a "
            "warning",
            Flag(),
        ),
        "truncation_direction": TRUNCATION_DIRECTION,
        "raw_scores": RAW_SCORES,
        "return_text": Honored("whether results have their texts", Flag()),
        "top_n": NoEffect("TEI ranks all texts, and clients cut the list"),
        "model": NoEffect("TEI serves one model, here the default one"),
    },
)


def parse(body: Body) -> RerankRequest:
    """Parse a request; all texts come back, as there is no top-n."""
    query = body.text("query")
    texts = body.texts("texts")
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
        reading={} if body.flag("truncate", True) else {"truncate": False},
        from_end=body.text("truncation_direction", "Right") == "Left",
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


TEI = rerank_operation("tei", _FIELDS, parse, write, error_body, STATUSES)
