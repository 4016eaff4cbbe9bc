"""From an HTTP request to an answer: key, limits, work in a thread, and the way back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from secondpass.errors import SecondpassError
from secondpass.server.asking import Ask
from secondpass.server.body import Body, read_body
from secondpass.server.credentials import key_in
from secondpass.server.exchange import REQUEST_ID, Exchange, Fail
from secondpass.server.keys import ANYBODY, KeyEntry, KeyFile
from secondpass.server.limits import RateLimits
from secondpass.server.metrics import Metrics
from secondpass.server.problems import Problem, problem_of
from secondpass.server.reply import Reply
from secondpass.server.service import RerankService
from secondpass.types import RerankResponse

T = TypeVar("T")
Work = Callable[[Exchange], Awaitable[Any]]
"""Answers an exchange: with what becomes JSON, or with a Response of its own."""
_log = logging.getLogger("secondpass.server")


class Answering:
    """Answers requests of any dialect; `keys` is None where anybody may ask."""

    def __init__(self, service: RerankService, metrics: Metrics, keys: KeyFile | None) -> None:
        self.service, self.metrics, self.keys = service, metrics, keys
        self._rates = RateLimits()

    def handler(
        self, dialect: str, fail: Fail, scope: str | None, work: Work
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers a path, for callers with this scope; None for any key."""

        async def checked(exchange: Exchange) -> Any:
            exchange.caller = self.check(exchange.request, scope)
            return await work(exchange)

        async def answer(request: Request) -> Response:
            return await self.answer(Exchange(request, dialect, fail), checked)

        return answer

    def check(self, request: Request, scope: str | None = "rerank") -> KeyEntry:
        """Return who asks; raises Problem without a key, or beyond what the key may.

        A scope of None is one that every key has.
        """
        if self.keys is None:
            return ANYBODY
        caller = self.keys.find(key_in(request.headers))
        if scope is not None:
            caller.allow(scope)
        if caller.per_minute is not None:
            self._rates.take(caller.id, caller.per_minute)
        return caller

    async def body(self, exchange: Exchange) -> Body:
        """Return the JSON object of a request, within the limits; raises Problem."""
        settings = self.service.settings
        return await read_body(
            exchange.request, most=self.most_bytes(exchange), depth=settings.max_depth
        )

    def most_bytes(self, exchange: Exchange) -> int:
        """Return how long the body of a request may be."""
        most, own = self.service.settings.max_body, exchange.caller.max_body
        return most if own is None else min(most, own)

    async def done(
        self, exchange: Exchange, do: Callable[[], T], *, timeout: float | None = None
    ) -> T:
        """Do what blocks in a thread, within one deadline.

        Its place in the queue goes when the client hangs up. Raises Problem for what cannot
        be answered.
        """
        ticket = self.service.ticket(timeout)
        work = asyncio.create_task(self.service.run(ticket, do))
        gone = asyncio.create_task(_gone(exchange.request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                ticket.cancel()
            return await work
        finally:
            gone.cancel()

    def counting(self, exchange: Exchange, documents: int) -> None:
        """Note how many documents a request has; raises Problem for too many."""
        exchange.documents = documents
        self.service.check_count(documents, exchange.caller.max_documents)

    async def reranked(self, exchange: Exchange, asks: Sequence[Ask]) -> list[RerankResponse]:
        """Rerank within one deadline; raises Problem for what cannot be answered."""
        self.counting(exchange, sum(len(ask.documents) for ask in asks))
        return await self.done(exchange, lambda: [self.service.rerank(ask) for ask in asks])

    async def answer(self, exchange: Exchange, work: Work) -> Response:
        """Return the answer, whatever happens, and count it."""
        try:
            found = await work(exchange)
            response = found if isinstance(found, Response) else Reply(found)
        except Problem as problem:
            response = self.failed(exchange, problem)
        except SecondpassError as error:
            response = self.failed(exchange, problem_of(error))
        except Exception:  # noqa: BLE001 - a dialect's client gets its dialect's error
            _log.exception("request %s was not answered", exchange.id)
            response = self.failed(exchange, Problem(500, "failed", "something went wrong"))
        response.headers[REQUEST_ID] = exchange.id
        self.counted(exchange, response.status_code)
        return response

    def failed(self, exchange: Exchange, problem: Problem) -> Response:
        """Return the answer to a request that gets none, as its dialect has it."""
        content = exchange.fail(problem, exchange.id)
        return Reply(content, problem.status, headers=problem.headers)

    def counted(self, exchange: Exchange, status: int) -> None:
        """Count a request that was answered."""
        exchange.status = status
        self.metrics.count(exchange.dialect, status, exchange.seconds, exchange.documents)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
