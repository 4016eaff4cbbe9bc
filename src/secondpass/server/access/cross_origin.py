"""Keeps web pages away from a server that asks nobody for a key."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from secondpass.server.settings import LOOPBACK


class CrossOriginGuard:
    """Refuses what a page of another site sends through a browser on this machine.

    Such a page can make its own name mean 127.0.0.1 (DNS rebinding), which shows in the
    header Host, or send a form or a simple request across sites, which shows in Origin. A
    server with keys needs none of this: pages do not have them, and a proxy may have any
    name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"127.0.0.1").decode("latin-1")
            origin = headers.get(b"origin")
            if not _here(f"//{host}"):
                await _refused(421, f"this server is not {host[:100]!r}")(scope, receive, send)
                return
            if origin is not None and not _here(origin.decode("latin-1")):
                message = "pages of other sites are let in only by a server with keys"
                await _refused(403, message)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _here(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def _refused(status: int, message: str) -> JSONResponse:
    # In the shapes of several dialects at once, since nothing has told which it is.
    error = {"message": message, "detail": message, "error": message}
    return JSONResponse(error, status)
