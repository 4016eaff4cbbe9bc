"""NVIDIA's ranking endpoint, of NIM and of its hosted API."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body
from secondpass.server.request_fields import Honored, NoEffect, Refused, RequestFields
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, openai_error, usage
from secondpass.server.rerank_dialects.schemas import RerankRequest

_FIELDS = RequestFields(
    "NVIDIA, ranking",
    "/nvidia/v1/ranking",
    {
        "query.text": Honored("the query"),
        "passages[].text": Honored("the texts to rank"),
        "passages[].image": Refused("texts are all that is read"),
        "model": Honored("the reranker, by name; the default one for names that are none"),
        "truncate": Honored("NONE: a passage that is not read whole is an error"),
        "top_n": NoEffect("all passages come back, and clients cut the list"),
        "user": NoEffect("the API key says who asks"),
    },
)


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
        if not isinstance(text, str):
            raise invalid(f"passages[{position}] has no text")
        texts.append(text)
    truncate = body.text("truncate", "END")
    if truncate not in ("END", "NONE"):
        raise invalid("truncate must be END or NONE")
    reading = {"truncate": False} if truncate == "NONE" else {}
    model = body.maybe_text("model")
    return RerankRequest(query, passages, texts, model, raw_scores=True, reading=reading)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return NVIDIA's response, best first."""
    results = reply.response.results
    rankings = [{"index": result.index, "logit": result.score} for result in results]
    return {"rankings": rankings, "usage": usage(reply)}


NVIDIA = rerank_operation("nvidia", _FIELDS, parse, write, openai_error)
