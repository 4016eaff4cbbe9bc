"""`secondpass mcp`: search, rerank and explain as MCP tools for agents."""

from __future__ import annotations

from typing import Annotated

import typer

from secondpass.cli import options


def mcp(
    index: options.ServedIndexes = None,
    over: options.ServedDatabases = None,
    model: options.ServedModels = None,
    precision: options.PrecisionOption = None,
    calibration_pairs: options.CalibrationPairs = None,
    threads: options.Threads = None,
    timeout: Annotated[float, typer.Option(help="Seconds for a tool call.")] = 30.0,
) -> None:
    """Speak the Model Context Protocol on standard input and output.

    Configure this command in the agent's MCP host. `secondpass serve` offers the same tools
    over HTTP, at /mcp.

    Example:  secondpass mcp --index my-index
    """
    from secondpass.cli.serve import parse_database_options, parse_index_options
    from secondpass.server.mcp.stdio import run
    from secondpass.server.settings import ServerSettings

    run(
        ServerSettings(
            models=model if model else ["bundled"],
            indexes=parse_index_options(index or []),
            databases=parse_database_options(over or []),
            precision=precision,
            calibration_pairs=calibration_pairs,
            threads=threads,
            timeout=timeout,
        )
    )
