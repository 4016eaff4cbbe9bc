"""Blocks cross-origin browser requests (DNS rebinding, CSRF) where no keys are set."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from secondpass.server.settings import LOOPBACK

_ALLOW = (
    "without keys it answers to the names of this machine only; to be reached by another name, "
    "make a key (secondpass keys create NAME) and start it with --keys keys.json"
)


class CrossOriginGuard:
    """Middleware that refuses what a page of another site sends through a local browser.

    Such a page can make its own host name resolve to 127.0.0.1 (DNS rebinding), which shows in
    the header Host, or send a form or a simple request across origins (CSRF), which shows in
    Origin. A server with keys needs none of this: pages do not have them, and behind a proxy
    it may have any name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"127.0.0.1").decode("latin-1")
            origin = headers.get(b"origin")
            if not _is_loopback(f"//{host}"):
                response = _error_response(421, f"this server is not {host[:100]!r}: {_ALLOW}")
                await response(scope, receive, send)
                return
            if origin is not None and not _is_loopback(origin.decode("latin-1")):
                message = "pages of other sites are let in only by a server with keys"
                await _error_response(403, message)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def _error_response(status: int, message: str) -> JSONResponse:
    # In the shapes of several dialects at once, as the dialect is not known here.
    content = {"message": message, "detail": message, "error": message}
    return JSONResponse(content, status)
