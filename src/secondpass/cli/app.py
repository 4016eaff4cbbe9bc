"""Command-line application: registered commands, error messages and exit codes."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import warnings
from typing import Annotated

import typer

from secondpass._version import __version__
from secondpass.cli.answer import answer
from secondpass.cli.bench import bench
from secondpass.cli.calibrate import calibrate
from secondpass.cli.distill import distill
from secondpass.cli.doctor import doctor
from secondpass.cli.evaluate import evaluate
from secondpass.cli.explain import explain
from secondpass.cli.export import export
from secondpass.cli.index import index
from secondpass.cli.keys import keys
from secondpass.cli.label import label
from secondpass.cli.mcp import mcp
from secondpass.cli.mine import mine
from secondpass.cli.models import models
from secondpass.cli.optimize import optimize
from secondpass.cli.options import Command, MultiValueCommand
from secondpass.cli.output import hide_model_messages, show_model_messages
from secondpass.cli.report import report
from secondpass.cli.rerank import rerank
from secondpass.cli.sample_queries import sample_queries
from secondpass.cli.search import search
from secondpass.cli.serve import serve
from secondpass.cli.train import train
from secondpass.cli.tune import tune
from secondpass.cli.ui import ui
from secondpass.errors import InputError, SecondpassError
from secondpass.storage import place_problem

app = typer.Typer(
    name="secondpass",
    help="Two-stage search: retrieve many candidates fast, then rerank them.\n\n"
    "Exit codes: 0 ok, 1 failed, 2 wrong usage. Results go to standard output, everything "
    "else to standard error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(index, optimize, search, answer, rerank, explain, sample_queries, label, calibrate),
    *(doctor, bench, serve, ui, mcp),
    *(export, mine, train, distill),
):
    app.command(cls=Command)(command)
app.command("eval", cls=MultiValueCommand)(evaluate)
app.add_typer(keys)
app.add_typer(models)
app.command(cls=MultiValueCommand)(report)
app.command(cls=MultiValueCommand)(tune)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"secondpass {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Define the options that come before a command."""


def run() -> None:
    """Run the program; errors become one message on standard error and an exit code."""
    warnings.formatwarning = _format_warning
    show_model_messages()
    try:
        app()
    except SecondpassError as error:
        _print_error(error)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        typer.echo(
            "Interrupted. Stored work is kept; run the same command to continue.", err=True
        )
        sys.exit(1)
    except BrokenPipeError:
        # The process reading the pipe (head, less) has exited; without this, Python would
        # report the error again when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, RuntimeError, ValueError, sqlite3.Error) as error:
        # Any file of any command: a full disk or a closed folder is no defect of the program.
        problem = place_problem(error)
        if problem is None:
            raise
        place = getattr(error, "filename", None)
        where = None if place is None else str(place)
        failed = SecondpassError(
            "a file cannot be used", where=where, why=problem.why, fix=problem.fix
        )
        _print_error(failed)
        sys.exit(1)
    finally:
        hide_model_messages()


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    # A line of the program says nothing to its user.
    return f"Warning: {message}\n"


def _print_error(error: SecondpassError) -> None:
    if "--json" in sys.argv:
        parts = {"type": type(error).__name__, "message": str(error)}
        details = {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}
        typer.echo(json.dumps({"error": {**parts, **details}}, ensure_ascii=False), err=True)
    else:
        typer.echo(f"Error: {error}", err=True)
