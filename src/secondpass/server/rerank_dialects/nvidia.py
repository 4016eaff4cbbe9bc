"""NVIDIA's ranking endpoint, of NIM and of its hosted API."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, openai_error, usage
from secondpass.server.rerank_dialects.schemas import RerankRequest


def parse(body: Body) -> RerankRequest:
    """Parse a request, whose scores are always logits; all passages come back."""
    query = body.part("query").text("text")
    if not query.strip():
        raise invalid("query.text is blank")
    passages = body.items("passages")
    if not passages:
        raise invalid("passages is empty")
    texts = []
    for position, passage in enumerate(passages):
        text = passage.get("text") if isinstance(passage, dict) else None
        if not isinstance(text, str) or passage.get("image") is not None:
            raise invalid(f"passages[{position}] is not text, which is all that is read")
        texts.append(text)
    truncate = body.text("truncate", "END")
    if truncate not in ("END", "NONE"):
        raise invalid("truncate must be END or NONE")
    model, whole = body.maybe_text("model"), truncate == "NONE"
    return RerankRequest(query, passages, texts, model, raw_scores=True, whole=whole)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return NVIDIA's response, best first."""
    results = reply.response.results
    rankings = [{"index": result.index, "logit": result.score} for result in results]
    return {"rankings": rankings, "usage": usage(reply)}


NVIDIA = rerank_operation("nvidia", parse, write, openai_error)
