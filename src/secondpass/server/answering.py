"""From an HTTP request to an answer: key, body, dialect, queue, and the way back."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from secondpass.server.asking import Answered, Ask
from secondpass.server.body import Body, read_body
from secondpass.server.dialects import vllm_score
from secondpass.server.dialects.dialect import Dialect, message
from secondpass.server.keys import KeyFile
from secondpass.server.metrics import Metrics
from secondpass.server.problems import Problem
from secondpass.server.queued import Ticket
from secondpass.server.service import RerankService
from secondpass.types import RerankResponse

Choose = Callable[[Body, Mapping[str, str]], Dialect]
REQUEST_ID = "x-request-id"


class Answering:
    """Answers rerank requests of any dialect."""

    def __init__(self, service: RerankService, metrics: Metrics, keys: KeyFile | None) -> None:
        self.service, self.metrics, self.keys = service, metrics, keys

    def endpoint(self, dialect: Dialect | Choose) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers requests on a path of one dialect, or of several."""

        async def answer(request: Request) -> Response:
            return await self._answer(request, dialect)

        return answer

    def check(self, request: Request, scope: str = "rerank") -> None:
        """Raise Problem for a request without a key, where keys are asked for."""
        if self.keys is not None:
            self.keys.check(request.headers.get("authorization"), scope)

    async def score(self, request: Request) -> Response:
        """Answer vLLM's score endpoint, whose pairs may have queries of their own."""
        started, number = time.perf_counter(), uuid.uuid4().hex
        documents = 0
        try:
            self.check(request)
            settings = self.service.settings
            body = await read_body(request, most=settings.max_body, depth=settings.max_depth)
            asks = vllm_score.read(body)
            documents = sum(len(ask.documents) for ask in asks)
            self.service.check_count(documents)
            answered = [
                Answered(ask, await self._unless_gone(request, ask), number) for ask in asks
            ]
            content, status = vllm_score.write(answered, number), 200
            headers = dict[str, str]()
        except Problem as problem:
            content = vllm_score.fail(problem, number)
            status, headers = problem.status, problem.headers
        self.metrics.count("vllm-score", status, time.perf_counter() - started, documents)
        return JSONResponse(content, status, headers={**headers, REQUEST_ID: number})

    async def _answer(self, request: Request, choice: Dialect | Choose) -> Response:
        started, number = time.perf_counter(), uuid.uuid4().hex
        dialect = choice if isinstance(choice, Dialect) else None
        documents = 0
        try:
            settings = self.service.settings
            lenient = settings.weaviate_open and self.keys is not None
            if not lenient:
                self.check(request)
            body = await read_body(request, most=settings.max_body, depth=settings.max_depth)
            if not isinstance(choice, Dialect):
                dialect = choice(body, request.headers)
            assert dialect is not None
            if lenient and not dialect.open:
                self.check(request)
            ask = dialect.read(body)
            response = await self._unless_gone(request, ask)
            documents = len(ask.documents)
            content = dialect.write(Answered(ask, response, number))
            status, headers = 200, dict[str, str]()
        except Problem as problem:
            fail = message if dialect is None else dialect.fail
            content, status, headers = fail(problem, number), problem.status, problem.headers
        name = "unknown" if dialect is None else dialect.name
        self.metrics.count(name, status, time.perf_counter() - started, documents)
        return JSONResponse(content, status, headers={**headers, REQUEST_ID: number})

    async def _unless_gone(self, request: Request, ask: Ask) -> RerankResponse:
        """Rerank, and give the place in the queue up when the client hangs up."""
        ticket = Ticket()
        work = asyncio.create_task(self.service.rerank(ask, ticket))
        gone = asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                ticket.cancel()
            return await work
        finally:
            gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
