"""Refuses requests whose length can be read in two ways (request smuggling)."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class FramingGuard:
    """Middleware that refuses Content-Length together with Transfer-Encoding, and closes.

    A proxy that goes by the length, before a server that goes by the chunks, would take the
    rest of one request for the next one. RFC 9112, section 6.3, allows to refuse it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] == "http":
            names = {name for name, _ in scope["headers"]}
            if {b"content-length", b"transfer-encoding"} <= names:
                message = "a request has either Content-Length or Transfer-Encoding, not both"
                content = {"message": message, "detail": message, "error": message}
                response = JSONResponse(content, 400, headers={"connection": "close"})
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
