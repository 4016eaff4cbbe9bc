"""The tools over standard input and output, for one caller."""

from __future__ import annotations

from secondpass.errors import MissingExtraError
from secondpass.server.settings import ServerSettings


def run(settings: ServerSettings) -> None:
    """Serve until standard input ends; nothing else may write to standard output.

    Raises MissingExtraError without the extra `mcp`, and what loading a model or opening an
    index raises.
    """
    try:
        import anyio

        from secondpass.server.mcp.hosts import LocalHost
        from secondpass.server.mcp.tools import make_server
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "secondpass":
            raise
        raise MissingExtraError("An MCP server", package="mcp", extra="mcp") from error
    from secondpass.server.state import ServerState

    state = ServerState(settings)
    try:
        state.load()
        server = make_server(state, LocalHost(state))
        anyio.run(server.run_stdio_async)
    finally:
        state.close()
