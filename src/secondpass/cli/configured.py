"""A configuration file under a command: what is typed goes before what the file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        help="A file that `secondpass tune` wrote; options that are typed go before it.",
        show_default=False,
    ),
]

_OPTIONS = {"rerank": ("rerank", "model")}
"""The options that set a value of the file, where they are not of its name."""


def configured(path: Path | None, context: typer.Context) -> dict[str, Any]:
    """Return the arguments of `Index.search` from a file, less those that were typed."""
    if path is None:
        return {}
    from secondpass.configuration import Configuration

    return {
        name: value
        for name, value in Configuration.read(path).search.items()
        if not any(_typed(context, option) for option in _OPTIONS.get(name, (name,)))
    }


def _typed(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
