"""`secondpass optimize`: merge the files of an index, remove states it does not need."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from secondpass.cli import options

if TYPE_CHECKING:
    from secondpass.index.index import OptimizeReport


def optimize(index: options.IndexPlace, as_json: options.AsJson = False) -> None:
    """Merge the files of an index, and remove what it does not need, after many changes.

    Brings the search indexes up to date, removes stored token states that no passage has any
    more, and makes those that are missing. Searches and writes can go on meanwhile.

    Example:  secondpass optimize --index my-index
    """
    from secondpass.cli.output import print_json, stages
    from secondpass.index.index import Index
    from secondpass.index.storage.objects import parse_place

    place = parse_place(index)
    with Index.open(place, create=False) as opened, stages() as progress:
        report = opened.optimize(progress=progress)
    if as_json:
        print_json({"index": str(place), **asdict(report)})
    else:
        typer.echo(f"{place}: {_describe(report)}", err=True)
    if report.problem is not None:
        raise typer.Exit(1)


def _describe(report: OptimizeReport) -> str:
    removed = f"{report.states_removed:,} stored states that no passage needs were removed"
    if report.states_removed:
        removed += f", {report.bytes_removed:,} bytes"
        if report.files_removed:
            removed += f", {report.files_removed} of their files as a whole"
        if report.bytes_freed < report.bytes_removed / 2:
            removed += ", whose space stays in the file for later states"
        else:
            removed += f", and the files are {report.bytes_freed:,} bytes smaller"
    read = f"{report.windows_read:,} windows without states were encoded"
    problem = "" if report.problem is None else f"; not all were removed: {report.problem}"
    return f"{removed}; {read}{problem}"
