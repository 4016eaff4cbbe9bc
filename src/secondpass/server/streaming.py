"""Answers that are sent while they are made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import StreamingResponse

from secondpass.errors import SecondpassError
from secondpass.server.http_errors import HttpError, problem_of
from secondpass.server.telemetry.middleware import refused

if TYPE_CHECKING:
    from secondpass.server.request_context import RequestContext
    from secondpass.server.request_handler import RequestHandler

T = TypeVar("T")
_END = object()


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events of one response.

    - `frames`: taken one by one in worker threads, as each may block.
    - `fail`: makes the last frame where something goes wrong after the first.
    """

    frames: Iterator[str]
    fail: Callable[[HttpError], str]
    headers: Mapping[str, str] = field(default_factory=dict)


async def pieces(
    handler: RequestHandler, context: RequestContext, start: Callable[[], Iterator[T]]
) -> AsyncIterator[T]:
    """Return what an iterator gives, which blocks and so runs in threads.

    The first piece is taken before this returns, so that what goes wrong before it raises
    Problem here and the answer has the status for it.
    """
    iterator: Iterator[T]

    def begin() -> Any:
        nonlocal iterator
        iterator = start()
        return next(iterator, _END)

    first = await handler.run(context, begin)

    async def rest() -> AsyncIterator[T]:
        piece, ticket = first, handler.state.ticket()
        try:
            while piece is not _END:
                yield piece
                piece = await handler.state.run(ticket, lambda: next(iterator, _END))
        finally:
            ticket.cancel()

    return rest()


def event_stream(
    frames: AsyncIterator[str], fail: Callable[[HttpError], str]
) -> StreamingResponse:
    """Return server-sent events; `fail` makes the last frame where something goes wrong."""

    def failed(problem: HttpError) -> str:
        refused(problem)
        return fail(problem)

    async def sent() -> AsyncIterator[str]:
        try:
            async for frame in frames:
                yield frame
        except HttpError as problem:
            yield failed(problem)
        except SecondpassError as error:
            yield failed(problem_of(error))

    # Proxies that collect answers would take the point out of it.
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(sent(), media_type="text/event-stream", headers=headers)


def data(value: object, *, event: str | None = None) -> str:
    """Return one frame: JSON, or a text as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n" if event is None else f"event: {event}\ndata: {text}\n\n"
