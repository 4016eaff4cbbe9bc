"""Hosts of the tools: who the caller is, and where blocking work runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mcp.server.mcpserver import Context

from secondpass.server.access.api_keys import ANYBODY, KeyEntry
from secondpass.server.state import ServerState

if TYPE_CHECKING:
    from secondpass.server.request_context import RequestContext
    from secondpass.server.request_handler import RequestHandler

T = TypeVar("T")
CONTEXT = "secondpass.request_context"
"""The key of an ASGI scope under which a request has its `RequestContext`."""


class Host(Protocol):
    """What runs the tools."""

    def caller(self, context: Context[Any, Any]) -> KeyEntry:
        """Return who calls the tool."""

    async def run(self, context: Context[Any, Any], function: Callable[[], T]) -> T:
        """Run a blocking function in a worker thread; raises HttpError."""


class HttpHost:
    """A server: callers have keys, and may disconnect."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    def caller(self, context: Context[Any, Any]) -> KeyEntry:
        """Return the owner of the request's key."""
        return _request_context(context).caller

    async def run(self, context: Context[Any, Any], function: Callable[[], T]) -> T:
        """Run a function for as long as the client is connected."""
        return await self._handler.run(_request_context(context), function)


class LocalHost:
    """A process over standard input and output, for the one who started it."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def caller(self, context: Context[Any, Any]) -> KeyEntry:
        """Return the caller of a server without keys."""
        return ANYBODY

    async def run(self, context: Context[Any, Any], function: Callable[[], T]) -> T:
        """Run a function within the timeout of a request."""
        return await self._state.run(self._state.ticket(), function)


def _request_context(context: Context[Any, Any]) -> RequestContext:
    request = context.request_context.request
    assert request is not None
    found: RequestContext = request.scope[CONTEXT]
    return found
