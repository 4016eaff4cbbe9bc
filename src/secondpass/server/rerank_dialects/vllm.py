"""vLLM's rerank endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.operation import rerank_operation
from secondpass.server.rerank_dialects.responses import RerankReply, openai_error, usage
from secondpass.server.rerank_dialects.schemas import RerankRequest, parse_request


def parse(body: Body) -> RerankRequest:
    """Parse a request; a `top_n` of 0 means all, and a single document needs no list."""
    documents = body.found.get("documents")
    if isinstance(documents, str | dict):
        body = Body({**body.found, "documents": [documents]})
    top_n = body.count("top_n", least=0)
    request = parse_request(Body({**body.found, "top_n": None}))
    raw_scores = not body.flag("use_activation", True)
    return replace(request, top_n=top_n if top_n else None, raw_scores=raw_scores)


def write(reply: RerankReply) -> dict[str, Any]:
    """Return vLLM's response, which always has the documents."""
    rows = [
        {
            "index": result.index,
            "document": {"text": reply.request.documents[result.index], "multi_modal": None},
            "relevance_score": reply.score(result),
        }
        for result in reply.response.results
    ]
    return {
        "id": f"score-{reply.id}",
        "model": reply.model,
        "usage": usage(reply),
        "results": rows,
    }


VLLM = rerank_operation("vllm", parse, write, openai_error)
