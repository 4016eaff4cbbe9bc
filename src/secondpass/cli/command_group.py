"""The commands by name, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from secondpass.cli.options import Command, MultiValueCommand

COMMANDS = (
    *("index", "optimize", "search", "answer", "rerank", "explain", "sample-queries"),
    *("label", "calibrate"),
    *("doctor", "bench", "serve", "ui", "mcp", "export", "mine", "train", "distill"),
    *("eval", "report", "tune", "keys", "models"),
)
"""The commands in the order of the help.

Each is a function, or a `Typer` with commands of its own, in a module of the same name.
"""

_MULTI_VALUE = ("eval", "report", "tune")


class CommandGroup(TyperGroup):
    """A group of `COMMANDS` that builds the one that runs, and all of them for the help.

    Importing all and reading their options takes longer than a search in an open index.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # The group reads names and commands from it, and never writes to it.
        self.commands: Any = _Commands()


class _Commands(Mapping[str, Any]):
    """Typer's commands by name, built at the first access."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            if name not in COMMANDS:
                raise KeyError(name)
            self._built[name] = _build(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _build(name: str) -> Any:
    """Import a command and return Typer's object for it."""
    # "eval" is a function of Python's.
    function = "evaluate" if name == "eval" else name.replace("-", "_")
    command = getattr(import_module(f"secondpass.cli.{function}"), function)
    if isinstance(command, typer.Typer):
        return typer.main.get_group(command)
    alone = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    kind = MultiValueCommand if name in _MULTI_VALUE else Command
    alone.command(name, cls=kind)(command)
    return typer.main.get_command(alone)
