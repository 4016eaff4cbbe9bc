"""`secondpass index`: add files to an index."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from secondpass.cli import options

if TYPE_CHECKING:
    from secondpass.errors import ReadError
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.ingest_report import IngestProgress, IngestReport

_MAX_SKIPPED_SHOWN = 20


class _Reading(TypedDict):
    """How files are read, wherever that is done."""

    fields: list[str] | None
    prefix_ids: bool
    strict: bool
    progress: Callable[[IngestProgress], None]
    on_error: Callable[[ReadError], None]


class StatesChoice(StrEnum):
    """How an index stores the states of passages: the values of its option `states`."""

    FULL = "full"
    COMPACT = "compact"
    NONE = "none"


def index(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders to index.")],
    index: options.IndexPlace,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(
            help="Split longer documents into passages of this many tokens; 0 for whole "
            "documents.  [new: 256]"
        ),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Tokens shared by consecutive passages.  [new: 32]")
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            help='Text fields of JSONL, CSV and Parquet, in order, as in "title,body".'
        ),
    ] = None,
    prefix_ids: Annotated[
        bool,
        typer.Option(
            "--prefix-ids",
            help='Put the file before the ids of rows, as in "jan.csv:1": for files whose '
            "ids repeat.",
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Stop at a row that cannot be read or whose metadata has another type; do "
            "not skip it.",
        ),
    ] = False,
    language: Annotated[
        str | None,
        typer.Option(help="Language of stemming and stop words, as in en or german."),
    ] = None,
    states: Annotated[
        StatesChoice | None,
        typer.Option(
            help="How to store what the reranker computes of passages, for faster searches: "
            "whole, in a quarter of the bytes, or not.  [new: full]",
        ),
    ] = None,
    keep_states: Annotated[
        bool | None,
        typer.Option(
            "--keep-states/--no-keep-states",
            help="The older names of --states full and --states none.",
        ),
    ] = None,
    on: options.On = None,
    address: options.RayAddress = None,
    actors: options.Actors = None,
    as_json: options.AsJson = False,
) -> None:
    """Add files to an index, or update it; unchanged files are skipped.

    Reads .txt, .md, .html, .jsonl, .csv, .tsv, .parquet and, with the extra `ingest`, .pdf,
    .docx and .pptx. Stored documents survive Ctrl-C or a crash: run it again to continue.

    Example:  secondpass index docs/ --index my-index
    """
    from secondpass.cli.output import counting, print_json
    from secondpass.index.index import Index
    from secondpass.index.storage.objects import parse_place
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.ingest import ingest

    place = parse_place(index)
    with ExitStack() as stack:
        runtime = stack.enter_context(options.working_on(on, address, actors))
        embedder = Embedder()
        store = _open(place, embedder, language, chunk_tokens, overlap, states, keep_states)
        opened = stack.enter_context(Index(store, embedder))
        if store.keyword_note is not None:
            typer.echo(
                "The index was made by an earlier version: its keyword search and its fields "
                "for filters are renewed with this run",
                err=True,
            )
        update = stack.enter_context(counting("Indexing", "documents"))
        how: _Reading = {
            "fields": options.split_names(fields),
            "prefix_ids": prefix_ids,
            "strict": strict,
            "progress": lambda state: update(state.documents, state.total),
            "on_error": lambda error: typer.echo(f"Skipped: {error}", err=True),
        }
        if runtime is None:
            report = ingest(
                paths,
                store,
                opened.ingest_embedder(),
                chunk_tokens=store.settings.chunk_tokens,
                overlap=store.settings.overlap,
                **how,
            )
        else:
            from secondpass.cluster.bulk_index import index_files

            report = index_files(paths, opened, runtime, actors=actors, **how)
        passages = store.count_passages()
    query_sets = _keep_queries(paths, place)
    if as_json:
        problems = {
            "skipped": [str(e) for e in report.skipped],
            "errors": [str(e) for e in report.errors],
        }
        totals = {"index": str(place), "total": passages, "query_sets": query_sets}
        print_json({**asdict(report), **problems, **totals})
    else:
        _print(report, place, passages)
    if report.errors or report.differences:
        raise typer.Exit(1)


def _keep_queries(paths: list[Path], index: str | Path) -> dict[str, int]:
    """Keep the judged queries of BEIR folders; return how many there are in each new set."""
    from secondpass.errors import SecondpassError
    from secondpass.evaluate.query_sets import keep_queries, to_name

    kept = {}
    for path in paths:
        if not (path / "corpus.jsonl").is_file():
            continue
        if isinstance(index, str):
            typer.echo(
                f"The queries of {path} are not kept: query sets are files beside an index, "
                "and this one is in object storage",
                err=True,
            )
            continue
        try:
            query_set = keep_queries(path, index, to_name(path.resolve().name))
        except SecondpassError as error:
            typer.echo(f"The queries of {path} are not kept: {error}", err=True)
            continue
        if query_set is not None:
            kept[query_set.name] = len(query_set.queries)
            typer.echo(
                f"Kept with the index: {len(query_set.queries)} judged queries, as the query "
                f"set {query_set.name}",
                err=True,
            )
    return kept


def _open(
    place: str | Path,
    embedder: Embedder,
    language: str | None,
    chunk_tokens: int | None,
    overlap: int | None,
    states: StatesChoice | None,
    keep_states: bool | None,
) -> LanceStore:
    """Open or create the index; raise InputError if an existing one has other settings."""
    from secondpass.errors import InputError
    from secondpass.index.storage.open import open_store
    from secondpass.retrieve.chunking import CHUNK_TOKENS, OVERLAP

    limit = None if chunk_tokens == 0 else chunk_tokens
    store = open_store(
        place,
        embedder,
        language=language,
        chunk_tokens=CHUNK_TOKENS if chunk_tokens is None else limit,
        overlap=OVERLAP if overlap is None else overlap,
        states=None if states is None else states.value,
        keep_states=keep_states,
    )
    existing = store.settings
    if (chunk_tokens is not None and limit != existing.chunk_tokens) or (
        overlap is not None and overlap != existing.overlap
    ):
        store.close()
        raise InputError(
            "The index was created with other passages",
            where=str(place),
            why=f"chunk tokens {existing.chunk_tokens or 0}, overlap {existing.overlap}",
            fix="Leave --chunk-tokens and --overlap out, or index into another place.",
        )
    return store


def _print(report: IngestReport, place: str | Path, passages: int) -> None:
    """Print a summary and the next command to standard error."""
    documents = f"{report.added} added, {report.updated} updated, {report.unchanged} unchanged"
    files = f"{report.files} files read, {report.files_unchanged} unchanged"
    lines = [
        f"{report.documents} documents: {documents}, {report.deleted} deleted ({files})",
        f"{passages} passages in {place} after {report.seconds:.1f} s",
    ]
    if report.empty or report.duplicates:
        lines.append(f"{report.empty} without text, {report.duplicates} ids twice in one file")
    lines += [f"Without text: {where}" for where in report.blank]
    if report.sparse:
        lines.append(f"{len(report.sparse)} files gave very little text for their size:")
        lines += [f"  {name}" for name in report.sparse[:20]]
        if len(report.sparse) > 20:
            lines.append(f"  and {len(report.sparse) - 20} more; --json names all")
    lines += [
        f"Cut: {name}, {count:,} characters were not read; SECONDPASS_READ_CHARACTERS sets "
        "how many a document may have"
        for name, count in list(report.cut.items())[:_MAX_SKIPPED_SHOWN]
    ]
    if len(report.cut) > _MAX_SKIPPED_SHOWN:
        lines.append(f"{len(report.cut)} files were cut; --json names all")
    if report.left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.left_out.items()))
        lines.append(f"Left out on purpose: {kinds}")
    if report.other_formats:
        kinds = ", ".join(
            f"{n} {suffix or 'without a suffix'}" for suffix, n in report.other_formats.items()
        )
        lines.append(f"Files of other formats, not read: {kinds}")
    kept = [f"Kept as text: {name}, {why}" for name, why in report.kept_as_text.items()]
    lines += kept[:_MAX_SKIPPED_SHOWN]
    if len(kept) > _MAX_SKIPPED_SHOWN:
        lines.append(f"… and {len(kept) - _MAX_SKIPPED_SHOWN} more; --json lists all")
    if report.skipped:
        # Each is named, but thousands would hide the rest.
        lines += [f"Skipped: {error}" for error in report.skipped[:_MAX_SKIPPED_SHOWN]]
        more = len(report.skipped) - _MAX_SKIPPED_SHOWN
        lines += [f"… and {more} more; --json lists all"] if more > 0 else []
        lines.append(f"Rows skipped: {len(report.skipped)}; --strict stops at the first")
    if report.conflicts:
        lines.append(f"{report.conflicts} left out: another file has their id, see above")
    if report.differences:
        lines.append("The index is not what was stored; run the command again:")
        lines += [f"  {difference}" for difference in report.differences[:_MAX_SKIPPED_SHOWN]]
        if len(report.differences) > _MAX_SKIPPED_SHOWN:
            lines.append(f"  {len(report.differences)} documents in all; --json names them")
    if report.errors:
        lines.append(f"{len(report.errors)} problems with files, see above")
    lines.append(f'Next: secondpass search "YOUR QUESTION" --index {shlex.quote(str(place))}')
    typer.echo("\n".join(lines), err=True)
