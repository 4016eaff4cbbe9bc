"""Responses as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from secondpass.errors import SecondpassError
from secondpass.server.http_errors import HttpError, to_http_error
from secondpass.server.request_context import record_error

if TYPE_CHECKING:
    from secondpass.server.state import ServerState


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events of one response.

    - `frames`: taken one by one in worker threads, as each may block.
    - `fail`: returns the last frame where something fails after the first.
    - `frame_timeout`: seconds for each frame; None for the server's timeout, for all of them.
    """

    frames: Iterator[str]
    fail: Callable[[HttpError], str]
    headers: Mapping[str, str] = field(default_factory=dict)
    frame_timeout: float | None = None


def stream_response(
    state: ServerState, events: EventStream, first: str | None, *, tenant: str
) -> StreamingResponse:
    """Return the response for a stream whose first frame was taken; None for an empty one."""

    async def content() -> AsyncIterator[str]:
        frame, ticket = first, state.ticket(tenant=tenant)
        try:
            while frame is not None:
                yield frame
                if events.frame_timeout is not None:
                    ticket = state.ticket(events.frame_timeout, tenant)
                frame = await state.run(ticket, lambda: next(events.frames, None))
        except HttpError as error:
            yield _fail(events, error)
        except SecondpassError as error:
            yield _fail(events, to_http_error(error))
        finally:
            ticket.cancel()

    # Proxies that buffer responses would defeat the stream.
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no", **events.headers}
    return StreamingResponse(content(), media_type="text/event-stream", headers=headers)


def _fail(events: EventStream, error: HttpError) -> str:
    record_error(error)
    return events.fail(error)


def data(value: object, *, event: str | None = None) -> str:
    """Return one frame: a value as JSON, or a text as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n" if event is None else f"event: {event}\ndata: {text}\n\n"
