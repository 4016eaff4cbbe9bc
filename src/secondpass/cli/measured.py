"""Options that the commands which measure share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from secondpass.evaluate.collection import Collection

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
