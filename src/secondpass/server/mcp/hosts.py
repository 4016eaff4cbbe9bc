"""For whom a tool works, and within which deadline."""

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
CONTEXT = "secondpass.exchange"
"""Where a request's ASGI scope has its exchange."""


class Host(Protocol):
    """What runs the tools."""

    def caller(self, context: Context[Any, Any]) -> KeyEntry:
        """Return who calls the tool."""

    async def done(self, context: Context[Any, Any], do: Callable[[], T]) -> T:
        """Do what blocks in a thread; raises Problem for what cannot be answered."""


class HttpHost:
    """Callers have keys, and may hang up."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    def caller(self, context: Context[Any, Any]) -> KeyEntry:
        """Return the owner of the request's key."""
        return _context(context).caller

    async def done(self, context: Context[Any, Any], do: Callable[[], T]) -> T:
        """Do it for as long as the client listens."""
        return await self._handler.done(_context(context), do)


class LocalHost:
    """The one caller has started this process."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def caller(self, context: Context[Any, Any]) -> KeyEntry:
        """Return anybody."""
        return ANYBODY

    async def done(self, context: Context[Any, Any], do: Callable[[], T]) -> T:
        """Do it within the time of a request."""
        return await self._state.run(self._state.ticket(), do)


def _context(context: Context[Any, Any]) -> RequestContext:
    request = context.request_context.request
    assert request is not None
    found: RequestContext = request.scope[CONTEXT]
    return found
