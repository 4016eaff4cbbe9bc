"""Options that several commands share.

A configuration file under a command: what is typed goes before what the file says.

Options that the commands which measure share.

Options that take several values: `--depths 5 10 20` as well as `--depths 5 --depths 10`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from secondpass.errors import InputError

if TYPE_CHECKING:
    from secondpass.evaluate.collection import Collection


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
    from secondpass.index.config_file import Configuration
    from secondpass.option_types import declared
    from secondpass.options import SearchOptions

    found = dict(Configuration.read(path).search)
    kept = {name: value for name, value in found.items() if not _typed(context, name)}
    if _typed(context, "rerank"):
        if not context.params["rerank"]:
            idle = {n for n, option in declared(SearchOptions).items() if option.second_pass}
            return {name: value for name, value in kept.items() if name not in idle}
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


_QUERIES = typer.Option(
    help='JSON lines with "_id" and "text", lines of id, tab, text, a BEIR folder, or '
    "ir_datasets:NAME.",
    show_default=False,
)
Queries = Annotated[str, _QUERIES]
MaybeQueries = Annotated[str | None, _QUERIES]
Qrels = Annotated[
    str | None,
    typer.Option(
        help="TREC qrels, BEIR's table, JSON lines, or a BEIR folder.  [where the queries are]",
        show_default=False,
    ),
]
Split = Annotated[str, typer.Option(help="Of a BEIR folder: qrels/SPLIT.tsv.")]
Limit = Annotated[int | None, typer.Option(help="Only the first judged queries.")]
Models = Annotated[
    list[str], typer.Option(help='"bundled", model folders, OWNER/MODEL@REVISION.')
]
Measures = Annotated[list[str], typer.Option(help="As ir-measures names them.")]
Depths = Annotated[list[int], typer.Option(help="Numbers of candidates to try.")]


def read(queries: str, qrels: str | None, split: str, limit: int | None) -> Collection:
    """Return the collection that the options name, and say what was left out."""
    from secondpass.evaluate.collection import Collection
    from secondpass.rerank.inputs import check_count

    collection = Collection.read(queries, qrels, split=split).first(check_count("limit", limit))
    say(collection.notes)
    return collection


def say(notes: tuple[str, ...]) -> None:
    """Print notes to standard error."""
    for note in notes:
        typer.echo(f"Note: {note}", err=True)


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


class Several(TyperCommand):
    """A command without arguments, whose repeatable options take all values that follow."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `--name a b` as `--name a --name b`, for options that may stand twice."""
        repeatable = {
            name
            for option in self.params
            if getattr(option, "multiple", False)
            for name in option.opts
        }
        spread: list[str] = []
        current = None
        for place, word in enumerate(args):
            if word.startswith("--"):
                current = word if word in repeatable else None
                spread.append(word)
            elif current is not None and args[place - 1] != current:
                spread += [current, word]
            else:
                spread.append(word)
        return super().parse_args(ctx, spread)
