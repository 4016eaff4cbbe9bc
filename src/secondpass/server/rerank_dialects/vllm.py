"""vLLM's rerank endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.responses import Dialect, openai_error, usage
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest, asked


def read(body: Body) -> RerankRequest:
    """Read a request; a `top_n` of 0 means all, and one document may stand alone."""
    documents = body.found.get("documents")
    if isinstance(documents, str | dict):
        body = Body({**body.found, "documents": [documents]})
    top = body.count("top_n", least=0)
    ask = asked(Body({**body.found, "top_n": None}))
    return replace(ask, top=top if top else None, raw=not body.flag("use_activation", True))


def write(answered: RerankReply) -> dict[str, Any]:
    """Return vLLM's answer, which always has the documents."""
    rows = [
        {
            "index": result.index,
            "document": {"text": answered.ask.documents[result.index], "multi_modal": None},
            "relevance_score": answered.score(result),
        }
        for result in answered.response.results
    ]
    return {
        "id": f"score-{answered.id}",
        "model": answered.model,
        "usage": usage(answered),
        "results": rows,
    }


VLLM = Dialect("vllm", read, write, openai_error)
