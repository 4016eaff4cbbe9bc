"""How slowly the body of a request may arrive."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondpass.server.http_errors import Problem


class Timely:
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
                raise Problem(408, "too slow", told) from None
            more = message.get("more_body", False)
            return message

        await self._app(scope, received, send)
