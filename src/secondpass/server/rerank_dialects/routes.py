"""The rerank endpoints: one dialect a path, or several told apart by the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from secondpass.server.exchange import Exchange
from secondpass.server.http_json import Body
from secondpass.server.request_handler import Answering
from secondpass.server.rerank_dialects import vllm_score
from secondpass.server.rerank_dialects.responses import Dialect
from secondpass.server.rerank_dialects.schemas import Answered

Choose = Callable[[Body, Mapping[str, str]], Dialect]
Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(answering: Answering, choice: Dialect | Choose) -> Endpoint:
    """Return what answers requests on a path of one dialect, or of several."""

    async def work(exchange: Exchange) -> Any:
        open_path = answering.service.settings.weaviate_open
        if not open_path:
            exchange.caller = answering.check(exchange.request)
        body = await answering.body(exchange)
        if isinstance(choice, Dialect):
            dialect = choice
        else:
            dialect = choice(body, exchange.request.headers)
        exchange.dialect, exchange.fail = dialect.name, dialect.fail
        if open_path and not dialect.open:
            exchange.caller = answering.check(exchange.request)
        ask = dialect.read(body)
        (response,) = await answering.reranked(exchange, [ask])
        return dialect.write(Answered(ask, response, exchange.id))

    async def answer(request: Request) -> Response:
        exchange = Exchange(request)
        if isinstance(choice, Dialect):
            exchange.dialect, exchange.fail = choice.name, choice.fail
        return await answering.answer(exchange, work)

    return answer


def score_endpoint(answering: Answering) -> Endpoint:
    """Return what answers vLLM's score endpoint, whose pairs may have queries of their own."""

    async def work(exchange: Exchange) -> Any:
        asks = vllm_score.read(await answering.body(exchange))
        responses = await answering.reranked(exchange, asks)
        pairs = zip(asks, responses, strict=True)
        return vllm_score.write([Answered(*pair, exchange.id) for pair in pairs])

    return answering.handler("vllm-score", vllm_score.fail, "rerank", work)
