"""From an HTTP request to an answer: key, limits, work in a thread, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from secondpass.errors import SecondpassError
from secondpass.server.access.api_keys import ANYBODY, KeyEntry, KeyFile, key_in
from secondpass.server.access.rate_limit import RateLimits
from secondpass.server.http_errors import HttpError, failure_of, problem_of
from secondpass.server.http_json import Body, Reply, read_body
from secondpass.server.request_context import Fail, RequestContext, current
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.state import ServerState
from secondpass.server.telemetry.middleware import refused
from secondpass.types import RerankResponse

T = TypeVar("T")
Work = Callable[[RequestContext], Awaitable[Any]]
"""Answers an exchange: with what becomes JSON, or with a Response of its own."""


class RequestHandler:
    """Answers requests of any dialect; `keys` is None where anybody may ask."""

    def __init__(self, state: ServerState, keys: KeyFile | None) -> None:
        self.state, self.keys = state, keys
        self._rates = RateLimits()

    def endpoint(
        self, dialect: str, fail: Fail, scope: str | None, work: Work
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers a path, for callers with this scope; None for any key."""

        async def checked(context: RequestContext) -> Any:
            context.caller = self.check(context.request, scope)
            return await work(context)

        async def answer(request: Request) -> Response:
            return await self.answer(RequestContext(request, dialect, fail), checked)

        return answer

    def check(self, request: Request, scope: str | None = "rerank") -> KeyEntry:
        """Return who asks; raises Problem without a key, or beyond what the key may.

        A scope of None is one that every key has.
        """
        caller = ANYBODY if self.keys is None else self.keys.find(key_in(request.headers))
        seen = current()
        if seen is not None:
            seen.caller = caller
        if scope is not None:
            caller.allow(scope)
        if caller.per_minute is not None:
            self._rates.take(caller.id, caller.per_minute)
        return caller

    async def body(self, context: RequestContext) -> Body:
        """Return the JSON object of a request, within the limits; raises Problem."""
        settings = self.state.settings
        return await read_body(
            context.request, most=self.most_bytes(context), depth=settings.max_depth
        )

    def most_bytes(self, context: RequestContext) -> int:
        """Return how long the body of a request may be."""
        most, own = self.state.settings.max_body, context.caller.max_body
        return most if own is None else min(most, own)

    async def done(
        self, context: RequestContext, do: Callable[[], T], *, timeout: float | None = None
    ) -> T:
        """Do what blocks in a thread, within one deadline.

        Its place in the queue goes when the client hangs up. Raises Problem for what cannot
        be answered.
        """
        ticket = self.state.ticket(timeout)
        self.state.admit(ticket)
        work = asyncio.create_task(self.state.run(ticket, do))
        gone = asyncio.create_task(_gone(context.request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                ticket.cancel()
            return await work
        finally:
            gone.cancel()

    def counting(self, context: RequestContext, documents: int) -> None:
        """Note how many documents a request has; raises Problem for too many."""
        context.documents = documents
        self.state.check_count(documents, context.caller.max_documents)

    async def reranked(
        self, context: RequestContext, asks: Sequence[RerankRequest]
    ) -> list[RerankResponse]:
        """Rerank within one deadline; raises Problem for what cannot be answered."""
        self.counting(context, sum(len(ask.documents) for ask in asks))
        return await self.done(context, lambda: [self.state.rerank(ask) for ask in asks])

    async def answer(self, context: RequestContext, work: Work) -> Response:
        """Return the answer, whatever happens."""
        try:
            found = await work(context)
            return found if isinstance(found, Response) else Reply(found)
        except HttpError as problem:
            return self.failed(context, problem)
        except SecondpassError as error:
            return self.failed(context, problem_of(error))
        except Exception as error:  # noqa: BLE001 - a dialect's client gets its dialect's error
            return self.failed(context, failure_of(error))

    def failed(self, context: RequestContext, problem: HttpError) -> Response:
        """Return the answer to a request that gets none, as its dialect has it."""
        refused(problem)
        content = context.fail(problem, context.id)
        return Reply(content, problem.status, headers=problem.headers)


async def _gone(request: Request) -> None:
    with suppress(HttpError):  # A body that nobody asked for, and that never came.
        while (await request.receive())["type"] != "http.disconnect":
            pass
