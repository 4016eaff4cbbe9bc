"""`secondpass mcp`: search, rerank and explain as tools of an agent."""

from __future__ import annotations

from typing import Annotated

import typer

from secondpass.cli import options


def mcp(
    index: options.ServedIndexes = None,
    model: options.ServedModels = None,
    threads: options.Threads = None,
    timeout: Annotated[float, typer.Option(help="Seconds a call.")] = 30.0,
) -> None:
    """Speak the Model Context Protocol on standard input and output.

    An agent's host starts it, with this as the command; a server that runs already has the
    same tools at /mcp (`secondpass serve`).

    Example:  secondpass mcp --index my-index
    """
    from secondpass.cli.serve import named_folders
    from secondpass.server.mcp.stdio import run
    from secondpass.server.settings import ServerSettings

    run(
        ServerSettings(
            models=model if model else ["bundled"],
            indexes=named_folders(index or []),
            threads=threads,
            timeout=timeout,
        )
    )
