"""The route `/mcp`: the tools over streamable HTTP, with one JSON response and no sessions."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from secondpass.errors import MissingExtraError
from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import BodyLimits, as_json, json_bytes
from secondpass.server.mcp.responses import MAX_IDENTIFIED_BYTES, error_body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation, RequestHandler

_PATH = "/mcp"


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
        """Return the route; methods other than POST are for sessions."""
        operation = Operation(
            dialect="mcp",
            fail=error_body,
            # Each tool checks the scope that it needs.
            scope=None,
            identify=self._identify,
            read=json_bytes,
            run_async=self._dispatch,
        )
        return [Route(_PATH, self._handler.serve(operation), methods=["POST"])]

    async def close(self) -> None:
        """Stop the application of the package `mcp`, where it was started."""
        self._stop.set()
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._running is not None:
            await self._running

    async def _identify(self, context: RequestContext) -> None:
        """Read the id of a small request, for the error that it gets."""
        limits = BodyLimits(MAX_IDENTIFIED_BYTES, self._handler.state.settings.max_depth)
        with suppress(HttpError):
            content = await json_bytes(context.request, limits)
            context.fail = partial(error_body, content=content)

    async def _dispatch(self, context: RequestContext, content: bytes) -> Response:
        context.fail = partial(error_body, content=content)
        self._handler.state.check_ready()
        return await _forward(await self._application(), context, content)

    async def _application(self) -> ASGIApp:
        if self._starting is None:
            # In a context of its own: it outlives the request that was the first.
            self._starting = asyncio.create_task(self._start(), context=contextvars.Context())
        starting = self._starting
        try:
            return await asyncio.shield(starting)
        except MissingExtraError as error:
            self._starting = None
            raise HttpError(501, "missing", str(error)) from error

    async def _start(self) -> ASGIApp:
        server = await anyio.to_thread.run_sync(_build_server, self._handler)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(server, started))
        await asyncio.wait({started, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            await self._running
        app: ASGIApp = server.session_manager.handle_request
        return app

    async def _run(self, server: Any, started: asyncio.Future[None]) -> None:
        async with server.session_manager.run():
            started.set_result(None)
            await self._stop.wait()


def _build_server(handler: RequestHandler) -> Any:
    try:
        from mcp.server.transport_security import TransportSecuritySettings
    except ImportError as error:
        raise MissingExtraError("/mcp", package="mcp", extra="mcp") from error
    from secondpass.server.mcp.hosts import HttpHost
    from secondpass.server.mcp.tools import make_server

    server = make_server(handler.state, HttpHost(handler))
    server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        max_request_body_size=handler.state.settings.max_body,
        # Origins and keys were checked before, as on every path.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return server


async def _forward(app: ASGIApp, context: RequestContext, content: bytes) -> Response:
    """Return an application's response to a request whose body was read already."""
    from secondpass.server.mcp.hosts import CONTEXT

    request, sent = context.request, False
    response, body = Response(), bytearray()

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

    scope = as_json(request.scope)
    if "accept" not in request.headers:
        # A client without it accepts anything (RFC 9110, 12.5.1); the package answers 406.
        scope = {**scope, "headers": [*scope["headers"], (b"accept", b"*/*")]}
    await app({**scope, CONTEXT: context}, receive, send)
    response.body = bytes(body)
    return response
