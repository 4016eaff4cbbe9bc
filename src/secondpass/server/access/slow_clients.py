"""Time limits for slow clients: for the headers of a request, and for its body."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from secondpass.server.http_errors import HttpError

MAX_HEADER_BYTES = 65_536
"""The longest request line and headers, in bytes."""


class HeaderTimeoutProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with a timeout for headers, which uvicorn does not have.

    Without one, a client that opens connections and sends a byte now and then keeps them all
    (Slowloris). `seconds` is for the headers of one request, or for the rest of a body after
    the response.
    """

    seconds = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Receive bytes, and stop the timeout where they complete a request's headers."""
        super().data_received(data)
        if self._handling:
            self._stop_timer()
        elif self._timer is None and not self.transport.is_closing():
            self._start_timer()

    def on_response_complete(self) -> None:
        """Start the timeout for the rest of a body whose response was sent before it came."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and self._timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timer()
        super().connection_lost(exc)

    @property
    def _handling(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if not self._handling:
            self.transport.close()


def header_timeout_protocol(timeout: float) -> type[HeaderTimeoutProtocol]:
    """Return the protocol class for a timeout in seconds."""

    class Protocol(HeaderTimeoutProtocol):
        seconds = timeout

    return Protocol


class BodyTimeout:
    """Middleware that raises HttpError (408) while a body is read, after too long.

    It is raised where the body is read, so that the response has the shape of the dialect.
    `seconds` is for the whole body, so that one byte now and then is not enough; uvicorn
    waits for ever.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline, more_body = time.monotonic() + self._seconds, True

        async def receive_in_time() -> Message:
            nonlocal more_body
            if not more_body:
                return await receive()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                text = f"the body did not arrive within {self._seconds:g} seconds"
                raise HttpError(408, "too slow", text) from None
            more_body = message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
