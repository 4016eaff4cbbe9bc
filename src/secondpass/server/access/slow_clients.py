"""A connection that is closed when the headers of a request do not arrive in time.

How slowly the body of a request may arrive.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from secondpass.server.http_errors import HttpError

MOST_HEADERS = 65_536
"""Bytes of a request's line and headers."""


class HeaderTimeoutProtocol(H11Protocol):
    """Speaks HTTP as uvicorn does, with a limit on slow headers, which uvicorn has not.

    A client that opens connections and sends a byte now and then would else keep them all
    (Slowloris). `seconds` is for one request's headers, or for the rest of a body after it
    was answered.
    """

    seconds = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._hurry()

    def data_received(self, data: bytes) -> None:
        """Take some bytes, and stop waiting where they complete a request's headers."""
        super().data_received(data)
        if self._handler:
            self._rest()
        elif self._due is None and not self.transport.is_closing():
            self._hurry()

    def on_response_complete(self) -> None:
        """Wait no longer for the rest of a body that was answered before it was there."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and self._due is None:
            self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._rest()
        super().connection_lost(exc)

    @property
    def _handler(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _hurry(self) -> None:
        self._due = self.loop.call_later(self.seconds, self._too_slow)

    def _rest(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _too_slow(self) -> None:
        self._due = None
        if not self._handler:
            self.transport.close()


def hurried(limit: float) -> type[HeaderTimeoutProtocol]:
    """Return the protocol for a limit in seconds."""

    class Limited(HeaderTimeoutProtocol):
        seconds = limit

    return Limited


class BodyTimeout:
    """Ends the reading of a body with Problem 408 when it has taken too long.

    For whoever reads it: dialects say so in their own words. `seconds` is for the whole body,
    so that one byte now and then is not enough; uvicorn waits for ever.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        due, more = time.monotonic() + self._seconds, True

        async def received() -> Message:
            nonlocal more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                told = f"the body did not arrive within {self._seconds:g} seconds"
                raise HttpError(408, "too slow", told) from None
            more = message.get("more_body", False)
            return message

        await self._app(scope, received, send)
