"""The rerank endpoints: one dialect a path, or several told apart by the request.

Which dialect a request on a shared path speaks; the first rule that fits decides.

One answer that the clients of Cohere, Jina, Voyage and vLLM all understand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.rerank_dialects import (
    cohere,
    infinity,
    tei,
    vllm,
    vllm_score,
    voyage,
    weaviate_container,
)
from secondpass.server.rerank_dialects.responses import Dialect, message
from secondpass.server.rerank_dialects.schemas import RerankReply, asked

Choose = Callable[[Body, Mapping[str, str]], Dialect]
Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(handler: RequestHandler, choice: Dialect | Choose) -> Endpoint:
    """Return what answers requests on a path of one dialect, or of several."""

    async def work(context: RequestContext) -> Any:
        open_path = handler.state.settings.weaviate_open
        if not open_path:
            context.caller = handler.check(context.request)
        body = await handler.body(context)
        if isinstance(choice, Dialect):
            dialect = choice
        else:
            dialect = choice(body, context.request.headers)
        context.dialect, context.fail = dialect.name, dialect.fail
        if open_path and not dialect.open:
            context.caller = handler.check(context.request)
        ask = dialect.read(body)
        (response,) = await handler.reranked(context, [ask])
        return dialect.write(RerankReply(ask, response, context.id))

    async def answer(request: Request) -> Response:
        context = RequestContext(request)
        if isinstance(choice, Dialect):
            context.dialect, context.fail = choice.name, choice.fail
        return await handler.answer(context, work)

    return answer


def score_endpoint(handler: RequestHandler) -> Endpoint:
    """Return what answers vLLM's score endpoint, whose pairs may have queries of their own."""

    async def work(context: RequestContext) -> Any:
        asks = vllm_score.read(await handler.body(context))
        responses = await handler.reranked(context, asks)
        pairs = zip(asks, responses, strict=True)
        return vllm_score.write([RerankReply(*pair, context.id) for pair in pairs])

    return handler.endpoint("vllm-score", vllm_score.fail, "rerank", work)


_VOYAGE = ("top_k", "truncation")
_COHERE = ("rank_fields", "max_chunks_per_doc")
_VLLM = ("truncate_prompt_tokens", "use_activation", "max_tokens_per_query")


def on_v1_rerank(body: Body, headers: Mapping[str, str]) -> Dialect:
    """Tell Cohere's version 1, Jina, Voyage and vLLM apart on `/v1/rerank`."""
    if body.has(*_VOYAGE):
        return voyage.VOYAGE
    agent = headers.get("user-agent", "").lower()
    fern = headers.get("x-fern-sdk-name", "").lower() == "cohere"
    if body.has(*_COHERE) or fern or agent.startswith("cohere/"):
        return cohere.V1
    if body.has(*_VLLM):
        return vllm.VLLM
    return UNION


def on_rerank(body: Body, headers: Mapping[str, str]) -> Dialect:
    """Tell TEI, Weaviate's container, Voyage and Infinity apart on `/rerank`."""
    if body.has("texts"):
        return tei.TEI
    if body.has("property"):
        return weaviate_container.WEAVIATE
    if body.has(*_VOYAGE):
        return voyage.VOYAGE
    if body.has(*_VLLM):
        return vllm.VLLM
    return infinity.INFINITY


def write(answered: RerankReply) -> dict[str, Any]:
    """Return the union of their answers."""
    return {
        **cohere.write_v1(answered),
        "object": "list",
        "data": voyage.rows(answered),
    }


UNION = Dialect("union", asked, write, message)
