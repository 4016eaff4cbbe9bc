"""Options shared by several commands, and how configuration files combine with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.models import TyperPath

from secondpass.errors import InputError
from secondpass.storage import expand_home

if TYPE_CHECKING:
    from secondpass.cluster.ray_runtime import RayRuntime
    from secondpass.evaluate.collection import Collection
    from secondpass.index.index import Index
    from secondpass.index.search import Search


Config = Annotated[
    Path | None,
    typer.Option(
        help="Configuration file of `secondpass tune`; command-line options override it.",
        show_default=False,
    ),
]


def read_config(path: Path | None, context: typer.Context) -> dict[str, Any]:
    """Return the `Index.search` arguments in a file that the command line does not override.

    Raises InputError if the file's `min_probability` was chosen for another model or
    calibration than the one on the command line.
    """
    if path is None:
        return {}
    from secondpass.index.config_file import Configuration
    from secondpass.option_types import declared
    from secondpass.options import SearchOptions

    search = dict(Configuration.read(path).search)
    arguments = {n: value for n, value in search.items() if not _on_command_line(context, n)}
    if _on_command_line(context, "rerank"):
        if not context.params["rerank"]:
            unused = {n for n, option in declared(SearchOptions).items() if option.second_pass}
            return {name: value for name, value in arguments.items() if name not in unused}
        if search.get("rerank", False) is not False:
            arguments["rerank"] = search["rerank"]
    if _on_command_line(context, "model"):
        arguments.pop("rerank", None)
    if "min_probability" in arguments and _overrides_probabilities(search, context):
        raise InputError(
            "min_probability was chosen for another model or calibration",
            where=str(path),
            why="the command line names a different one",
            fix="Add --min-probability, or run secondpass tune with that model.",
        )
    return arguments


def _overrides_probabilities(search: dict[str, Any], context: typer.Context) -> bool:
    """Return whether the command line names another calibration or model than the file."""
    if _on_command_line(context, "calibration"):
        path = Path(context.params["calibration"]).resolve()
        return "calibration" not in search or Path(search["calibration"]).resolve() != path
    reranker = search.get("rerank", True)
    model = "bundled" if reranker is True else reranker
    return _on_command_line(context, "model") and context.params["model"] != model


def _on_command_line(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


_QUERIES = typer.Option(
    help='Queries: JSON lines with "_id" and "text", lines of ID tab TEXT, a BEIR folder, or '
    "ir_datasets:NAME.",
    show_default=False,
)
Queries = Annotated[str, _QUERIES]
OptionalQueries = Annotated[str | None, _QUERIES]
Qrels = Annotated[
    str | None,
    typer.Option(
        help="Judgments: TREC or BEIR qrels, JSON lines, or a BEIR folder.  "
        "[default: beside the queries]",
        show_default=False,
    ),
]
Split = Annotated[str, typer.Option(help="Split of a BEIR folder: qrels/SPLIT.tsv.")]
Limit = Annotated[int | None, typer.Option(help="Use only this many judged queries.")]
Models = Annotated[
    list[str], typer.Option(help='Rerankers: "bundled", model folders, OWNER/MODEL.')
]
Rescorers = Annotated[
    list[str],
    typer.Option(
        help="Models to try that read the first results again; auto for those that go with the "
        "models, none for none."
    ),
]
Measures = Annotated[list[str], typer.Option(help="Measures, as ir-measures names them.")]
Depths = Annotated[list[int], typer.Option(help="Rerank depths to try: numbers of candidates.")]


def read_collection(
    queries: str, qrels: str | None, split: str, limit: int | None
) -> Collection:
    """Return the collection that the options name, and print notes on what was left out."""
    from secondpass.evaluate.collection import Collection
    from secondpass.rerank.inputs import check_count

    collection = Collection.read(queries, qrels, split=split).first(check_count("limit", limit))
    print_notes(collection.notes)
    return collection


def print_notes(notes: tuple[str, ...]) -> None:
    """Print notes to standard error."""
    for note in notes:
        typer.echo(f"Note: {note}", err=True)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_INDEX = typer.Option(
    "--index",
    metavar="FOLDER|URL",
    help="Index: a folder, or a prefix in object storage, as in s3://BUCKET/PREFIX.",
    show_default=False,
)
IndexPlace = Annotated[str, _INDEX]
SearchedIndex = Annotated[str | None, _INDEX]
Over = Annotated[
    str | None,
    typer.Option(
        "--over",
        metavar="URL",
        help='Database to search instead of an index, as in "sqlite:///file.db?table=docs".',
        show_default=False,
    ),
]


def open_source(
    index: str | None, over: str | None, config: Path | None = None
) -> Search | Index:
    """Open what a command searches: the index of --index, or the database of --over.

    Without both, the one that the configuration file names; its table [storage] has the
    `storage_options` of an index in object storage, wherever that is named. Raises InputError
    for both, and for none.
    """
    from secondpass.index.index import Index
    from secondpass.index.search import Search
    from secondpass.index.storage.objects import parse_place

    storage: Mapping[str, Any] | None = None
    if config is not None:
        from secondpass.index.config_file import Configuration

        configuration = Configuration.read(config)
        storage = configuration.storage or None
    if index is not None and over is not None:
        raise InputError(
            "--index and --over cannot be combined",
            why="a search has one source",
            fix="Leave one of them out.",
        )
    if index is None and over is None and config is not None:
        source = configuration.source
        over = source.get("over")
        index = source.get("index")
    if over is not None:
        return Search(over)
    if index is None:
        raise InputError(
            "there is nothing to search",
            fix="Give --index FOLDER or URL, or --over URL for a database, such as "
            "sqlite:///file.db?table=docs.",
        )
    return Index.open(parse_place(index), create=False, storage_options=storage)


Model = Annotated[
    str,
    typer.Option(
        help='Reranker: "bundled", a model folder, OWNER/MODEL, or PROVIDER/MODEL '
        "with its API key in the environment."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="URL of the provider of --model, if not its usual one."),
]
Fields = Annotated[
    str | None,
    typer.Option(help='Document fields to read, in order, as in "title,text".'),
]
Template = Annotated[
    str | None,
    typer.Option(
        help='Template that turns fields into text, as in "{title} ({year}): {text}".'
    ),
]
MaxLength = Annotated[
    int | None, typer.Option(help="Maximum tokens of a window, query included.")
]
PassagesOption = Annotated[
    str,
    typer.Option(
        "--passages",
        help="How window scores of a document combine: max, mean, first or top-N-mean.",
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Calibration file that `secondpass calibrate` wrote for this model.",
    ),
]
FirstStageDepth = Annotated[
    int, typer.Option("--candidates", help="Number of first-stage candidates.")
]
FirstStageMode = Annotated[
    str, typer.Option("--mode", help="First-stage search: hybrid, bm25 or vector.")
]


On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ray",
        help="Where the work is done: `ray` for the CPUs of a Ray cluster (extra `ray`).",
        show_default="this process",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="With --on ray: the cluster, or `auto` on one of its machines.",
        show_default="RAY_ADDRESS, else a Ray of this machine",
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(
        help="With --on ray: how many processes do the work, each with one CPU and its own "
        "copy of the model.",
        show_default="one for each free CPU",
    ),
]


def check_on(on: str | None) -> None:
    """Raise InputError for a value of --on that names no place to work."""
    if on not in (None, "ray"):
        raise InputError(
            f"There is no place {on!r} for work",
            where="--on",
            fix="Give --on ray, or leave it out to work in this process.",
        )


@contextmanager
def working_on(
    on: str | None, address: str | None, actors: int | None
) -> Iterator[RayRuntime | None]:
    """Start or connect to Ray where --on asks for it, and leave it at the end; None without.

    To be entered before lancedb is imported, because Ray forks. Raises InputError for options
    that do not fit, and what `ray_runtime` raises.
    """
    check_on(on)
    given = {"--address": address, "--actors": actors}
    for option, value in given.items():
        if on is None and value is not None:
            raise InputError(f"{option} is for work on Ray", fix="Add --on ray.")
    if actors is not None and actors < 1:
        raise InputError(
            "There must be at least one actor",
            where="--actors",
            why=f"it is {actors}",
            fix="Leave it out for one for each free CPU.",
        )
    if on is None:
        yield None
        return
    from secondpass.cluster.ray_runtime import ray_runtime

    with ray_runtime(address) as runtime:
        yield runtime


def split_names(names: str | None) -> list[str] | None:
    """Return the names in a comma-separated option, or None if it was not given."""
    return None if names is None else [n.strip() for n in names.split(",") if n.strip()]


ServedModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Reranker to serve; the first one also answers requests for unknown model names.",
        show_default="bundled",
    ),
]
ServedIndexes = Annotated[
    list[str] | None,
    typer.Option(
        "--index",
        metavar="NAME=FOLDER|URL",
        help="Index to search: NAME=FOLDER or NAME=URL, or without NAME; the first is the "
        "default.",
        show_default=False,
    ),
]
ServedDatabases = Annotated[
    list[str] | None,
    typer.Option(
        "--over",
        metavar="NAME=URL",
        help="Database to search like an index: NAME=URL or URL; it is never written to.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="Load cross-encoders in int8 (made once), fp32, or auto: int8 if it ranks alike.",
        show_default="the files as they are",
    ),
]
CalibrationPairs = Annotated[
    Path | None,
    typer.Option(
        "--calibration-pairs",
        help="File of pairs to calibrate int8 on; those of the package if absent.",
    ),
]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all if absent.")]


def load_models(models: list[str], loading: Mapping[str, Any]) -> list[Any]:
    """Return the models to measure: names, or rerankers if it is said how to load them."""
    given = {name: value for name, value in loading.items() if value is not None}
    if not given:
        return list(models)
    from secondpass.registry import load_reranker

    return [load_reranker(model, **given) for model in models]


_FILES_OR_NAMES = frozenset({"file", "queries", "qrels"})
"""Parameters that are text, because "-" or a name is also possible, and may be a path."""


class Command(TyperCommand):
    """A command whose paths may begin with "~", as in a configuration that no shell reads."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, then expand the home folder in every value that is a path."""
        rest = super().parse_args(ctx, args)
        for param in self.params:
            # Typer makes paths of the texts later.
            is_path = isinstance(param.type, TyperPath) or param.name in _FILES_OR_NAMES
            if is_path and param.name in ctx.params:
                ctx.params[param.name] = _expand_home(ctx.params[param.name])
        return rest


def _expand_home(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_expand_home(item) for item in value]
    if isinstance(value, str | Path) and "~" in str(value):
        return str(expand_home(value))
    return value


class MultiValueCommand(Command):
    """A command without arguments whose repeatable options take several values.

    `--depths 5 10 20` is the same as `--depths 5 --depths 10 --depths 20`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite `--name a b` to `--name a --name b` for repeatable options."""
        repeatable = {
            name
            for option in self.params
            if getattr(option, "multiple", False)
            for name in option.opts
        }
        expanded: list[str] = []
        current = None
        for position, arg in enumerate(args):
            if arg.startswith("--"):
                current = arg if arg in repeatable else None
                expanded.append(arg)
            elif current is not None and args[position - 1] != current:
                expanded += [current, arg]
            else:
                expanded.append(arg)
        return super().parse_args(ctx, expanded)
