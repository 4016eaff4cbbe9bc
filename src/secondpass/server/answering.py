"""From an HTTP request to an answer: key, body, dialect, queue, and the way back."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from secondpass.server.asking import Answered, Ask
from secondpass.server.body import Body, read_body
from secondpass.server.dialects import vllm_score
from secondpass.server.dialects.dialect import Dialect, message
from secondpass.server.keys import KeyFile
from secondpass.server.metrics import Metrics
from secondpass.server.problems import Problem
from secondpass.server.service import RerankService
from secondpass.types import RerankResponse

Choose = Callable[[Body, Mapping[str, str]], Dialect]
REQUEST_ID = "x-request-id"


@dataclass(slots=True)
class Exchange:
    """One request and its answer: who is spoken to, by which id, and what it took."""

    request: Request
    dialect: str = "unknown"
    fail: Callable[[Problem, str], Any] = message
    documents: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: float = field(default_factory=time.perf_counter)


class Answering:
    """Answers rerank requests of any dialect."""

    def __init__(self, service: RerankService, metrics: Metrics, keys: KeyFile | None) -> None:
        self.service, self.metrics, self.keys = service, metrics, keys

    def endpoint(self, choice: Dialect | Choose) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers requests on a path of one dialect, or of several."""

        async def work(exchange: Exchange) -> Any:
            open_path = self.service.settings.weaviate_open
            if not open_path:
                self.check(exchange.request)
            body = await self._body(exchange.request)
            if isinstance(choice, Dialect):
                dialect = choice
            else:
                dialect = choice(body, exchange.request.headers)
            exchange.dialect, exchange.fail = dialect.name, dialect.fail
            if open_path and not dialect.open:
                self.check(exchange.request)
            ask = dialect.read(body)
            (response,) = await self.reranked(exchange, [ask])
            return dialect.write(Answered(ask, response, exchange.id))

        async def answer(request: Request) -> Response:
            exchange = Exchange(request)
            if isinstance(choice, Dialect):
                exchange.dialect, exchange.fail = choice.name, choice.fail
            return await self._answer(exchange, work)

        return answer

    async def score(self, request: Request) -> Response:
        """Answer vLLM's score endpoint, whose pairs may have queries of their own."""

        async def work(exchange: Exchange) -> Any:
            self.check(request)
            asks = vllm_score.read(await self._body(request))
            responses = await self.reranked(exchange, asks)
            pairs = zip(asks, responses, strict=True)
            return vllm_score.write([Answered(*pair, exchange.id) for pair in pairs])

        return await self._answer(Exchange(request, "vllm-score", vllm_score.fail), work)

    def check(self, request: Request, scope: str = "rerank") -> None:
        """Raise Problem for a request without a key, where keys are asked for."""
        if self.keys is not None:
            self.keys.check(request.headers.get("authorization"), scope)

    async def reranked(self, exchange: Exchange, asks: Sequence[Ask]) -> list[RerankResponse]:
        """Rerank within one deadline; the place in the queue goes when the client hangs up.

        Raises Problem for what cannot be answered.
        """
        exchange.documents = sum(len(ask.documents) for ask in asks)
        self.service.check_count(exchange.documents)
        ticket = self.service.ticket()

        async def all_of_them() -> list[RerankResponse]:
            return [await self.service.rerank(ask, ticket) for ask in asks]

        work = asyncio.create_task(all_of_them())
        gone = asyncio.create_task(_gone(exchange.request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                ticket.cancel()
            return await work
        finally:
            gone.cancel()

    def counted(self, exchange: Exchange, status: int) -> None:
        """Count a request that was answered."""
        seconds = time.perf_counter() - exchange.started
        self.metrics.count(exchange.dialect, status, seconds, exchange.documents)

    async def _body(self, request: Request) -> Body:
        settings = self.service.settings
        return await read_body(request, most=settings.max_body, depth=settings.max_depth)

    async def _answer(
        self, exchange: Exchange, work: Callable[[Exchange], Awaitable[Any]]
    ) -> Response:
        status, headers = 200, dict[str, str]()
        try:
            content = await work(exchange)
        except Problem as problem:
            content = exchange.fail(problem, exchange.id)
            status, headers = problem.status, problem.headers
        self.counted(exchange, status)
        return JSONResponse(content, status, headers={**headers, REQUEST_ID: exchange.id})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
