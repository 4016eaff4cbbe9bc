"""A configuration file under a command: what is typed goes before what the file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from secondpass.errors import InputError

Config = Annotated[
    Path | None,
    typer.Option(
        help="A file that `secondpass tune` wrote; options that are typed go before it.",
        show_default=False,
    ),
]


def configured(path: Path | None, context: typer.Context) -> dict[str, Any]:
    """Return the arguments of `Index.search` from a file, less those that were typed.

    Raises InputError where the file's least probability was chosen for another model, or
    another calibration of it, than the one that is typed.
    """
    if path is None:
        return {}
    from secondpass.index.config_file import SECOND_PASS, Configuration

    found = dict(Configuration.read(path).search)
    kept = {name: value for name, value in found.items() if not _typed(context, name)}
    if _typed(context, "rerank"):
        if not context.params["rerank"]:
            return {name: value for name, value in kept.items() if name not in SECOND_PASS}
        if found.get("rerank", False) is not False:
            kept["rerank"] = found["rerank"]
    if _typed(context, "model"):
        kept.pop("rerank", None)
    if "min_probability" in kept and _other_probabilities(found, context):
        raise InputError(
            "the least probability was chosen for other probabilities",
            where=str(path),
            why="another model or calibration is typed",
            fix="Type --min-probability too, or run secondpass tune with that model.",
        )
    return kept


def _other_probabilities(found: dict[str, Any], context: typer.Context) -> bool:
    if _typed(context, "calibration"):
        given = Path(context.params["calibration"]).resolve()
        return "calibration" not in found or Path(found["calibration"]).resolve() != given
    chosen = found.get("rerank", True)
    model = "bundled" if chosen is True else chosen
    return _typed(context, "model") and context.params["model"] != model


def _typed(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
