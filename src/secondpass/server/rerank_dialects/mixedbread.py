"""Mixedbread's reranking endpoint."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect, message, usage
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest, asked


def read(body: Body) -> RerankRequest:
    """Read a request, whose documents are under `input`."""
    return asked(body, "input", top="top_k", echo="return_input", rank_fields="rank_fields")


def write(answered: RerankReply) -> dict[str, Any]:
    """Return Mixedbread's answer."""
    ask = answered.ask
    rows = [
        {
            "index": result.index,
            "score": answered.score(result),
            "input": ask.given[result.index] if ask.echo else None,
            "object": "rank_result",
        }
        for result in answered.response.results
    ]
    return {
        "usage": usage(answered),
        "model": answered.model,
        "data": rows,
        "object": "list",
        "top_k": len(rows) if ask.top is None else ask.top,
        "return_input": ask.echo,
    }


MIXEDBREAD = Dialect("mixedbread", read, write, message)
