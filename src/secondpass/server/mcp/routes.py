"""The tools over streamable HTTP: one request, one JSON answer, no sessions."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from secondpass.errors import MissingExtraError
from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import as_json, read_bytes
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler

_PATH = "/mcp"
# The code of JSON-RPC for errors of the server's own.
_CODE = -32000


class McpHttpRoutes:
    """Serves the tools; the package `mcp` is imported at the first request.

    It takes a second or more to import, and most servers have no agents.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._starting: asyncio.Task[ASGIApp] | None = None
        self._running: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def routes(self) -> list[Route]:
        """Return the route; other methods than POST are for sessions."""
        endpoint = self._handler.endpoint("mcp", fail, None, self._answer)
        return [Route(_PATH, endpoint, methods=["POST"])]

    async def close(self) -> None:
        """Leave off, if anybody has begun."""
        self._stop.set()
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._running is not None:
            await self._running

    async def _answer(self, context: RequestContext) -> Response:
        if not self._handler.state.ready:
            raise HttpError(503, "starting", "the models are being loaded", retry_after=1)
        content = await read_bytes(
            context.request,
            most=self._handler.most_bytes(context),
            depth=self._handler.state.settings.max_depth,
        )
        return await _answered(await self._started(), context, content)

    async def _started(self) -> ASGIApp:
        if self._starting is None:
            # Its life is the server's, not that of the request that was the first.
            self._starting = asyncio.create_task(self._start(), context=contextvars.Context())
        starting = self._starting
        try:
            return await asyncio.shield(starting)
        except MissingExtraError as error:
            self._starting = None
            raise HttpError(501, "missing", str(error)) from error

    async def _start(self) -> ASGIApp:
        server = await anyio.to_thread.run_sync(_made, self._handler)
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._live(server, began))
        await asyncio.wait({began, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            await self._running
        app: ASGIApp = server.session_manager.handle_request
        return app

    async def _live(self, server: Any, began: asyncio.Future[None]) -> None:
        async with server.session_manager.run():
            began.set_result(None)
            await self._stop.wait()


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return an error as JSON-RPC has it, of a request that was not read."""
    error = {"code": _CODE, "message": problem.message}
    return {"jsonrpc": "2.0", "id": None, "error": error}


def _made(handler: RequestHandler) -> Any:
    try:
        from mcp.server.transport_security import TransportSecuritySettings
    except ImportError as error:
        raise MissingExtraError("/mcp", package="mcp", extra="mcp") from error
    from secondpass.server.mcp.hosts import HttpHost
    from secondpass.server.mcp.tools import make_server

    settings = handler.state.settings
    server = make_server(handler.state, HttpHost(handler))
    server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        max_request_body_size=settings.max_body,
        # Who may come in was decided before, as for every path.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return server


async def _answered(app: ASGIApp, context: RequestContext, content: bytes) -> Response:
    """Return what an application answers to a body that was read already."""
    request: Request = context.request
    sent = False
    from secondpass.server.mcp.hosts import CONTEXT

    response = Response()
    body = bytearray()

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return await request.receive()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            response.status_code = message["status"]
            response.raw_headers = list(message.get("headers", []))
        else:
            body.extend(message.get("body", b""))

    await app({**as_json(request.scope), CONTEXT: context}, receive, send)
    response.body = bytes(body)
    return response
