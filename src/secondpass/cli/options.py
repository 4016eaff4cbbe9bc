"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
IndexFolder = Annotated[Path, typer.Option("--index", help="The folder of the index.")]
Model = Annotated[
    str,
    typer.Option(
        help='"bundled", a model folder, OWNER/MODEL@REVISION, or PROVIDER/MODEL '
        "with its key in the environment."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="Where the provider of --model is, if not at its usual place."),
]
Chain = Annotated[
    str | None,
    typer.Option(help="Models to ask if that one fails, in order, separated by commas."),
]
FallbackFlag = Annotated[
    bool,
    typer.Option(
        "--fallback/--no-fallback",
        help="Whether the first order is printed, and said so, if reranking fails.",
    ),
]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds that each model has; 30 for a provider.")
]
TopK = Annotated[int | None, typer.Option(help="How many results to print.")]
MinScore = Annotated[float | None, typer.Option(help="Drop results that score lower.")]
Fields = Annotated[
    str | None,
    typer.Option(help='Fields to read, in order, separated by commas, as in "title,text".'),
]
Template = Annotated[
    str | None, typer.Option(help='How fields become text, as in "{title} ({year}): {text}".')
]
MaxLength = Annotated[int | None, typer.Option(help="Tokens of one window, query included.")]
PassagesOption = Annotated[
    str, typer.Option("--passages", help="Long documents: max, mean, first or top-N-mean.")
]

BudgetMs = Annotated[
    float | None,
    typer.Option(help="Milliseconds for the second pass; what does not fit is left unscored."),
]
CascadeOption = Annotated[
    bool,
    typer.Option(
        "--cascade/--no-cascade",
        help="Let bundled-tiny rule out what cannot reach the top, for less work.",
    ),
]
ExitsOption = Annotated[
    bool,
    typer.Option(
        "--exits",
        help="Do not read what cannot be among the --top-k, for less work (readers only).",
    ),
]
CacheOption = Annotated[
    bool, typer.Option("--cache", help="Keep scores on disk, and reuse those of earlier runs.")
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option("--calibration", help="What `secondpass calibrate` wrote for this model."),
]
MinProbability = Annotated[
    float | None,
    typer.Option(help="Drop results that are less likely to be relevant, 0 to 1."),
]


def split_names(names: str | None) -> list[str] | None:
    """Return the names in a comma-separated option, or None if it was not given."""
    return None if names is None else [n.strip() for n in names.split(",") if n.strip()]


ServedModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="What reranks, the first for every name that is not among them.",
        show_default="bundled",
    ),
]
ServedIndexes = Annotated[
    list[str] | None,
    typer.Option(
        "--index",
        help="An index to search, NAME=FOLDER or FOLDER; the first is the default.",
        show_default=False,
    ),
]
Threads = Annotated[int | None, typer.Option(help="Processor threads; all if absent.")]
