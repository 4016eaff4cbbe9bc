"""Infinity's rerank endpoint."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect, openai_error, usage
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest, asked


def read(body: Body) -> RerankRequest:
    """Read a request, which may ask for logits."""
    return replace(asked(body), raw=body.flag("raw_scores"))


def write(answered: RerankReply) -> dict[str, Any]:
    """Return Infinity's answer; `document` is a text or null."""
    ask = answered.ask
    rows = [
        {
            "relevance_score": answered.score(result),
            "index": result.index,
            "document": ask.documents[result.index] if ask.echo else None,
        }
        for result in answered.response.results
    ]
    return {
        "object": "rerank",
        "results": rows,
        "model": answered.model,
        "usage": usage(answered),
        "id": f"infinity-{answered.id}",
        "created": int(time.time()),
    }


INFINITY = Dialect("infinity", read, write, openai_error)
