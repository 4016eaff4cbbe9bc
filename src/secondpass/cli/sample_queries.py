"""`secondpass sample-queries`: queries to judge."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError


def sample_queries(
    log: Annotated[
        Path | None,
        typer.Argument(
            help='A query log: a query a line, "QUERY tab COUNT", or JSON lines with "query" '
            'and "count".',
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The JSON lines to write.")] = Path("queries.jsonl"),
    index: Annotated[
        Path | None,
        typer.Option(help="Without a log: make queries of this index's documents. Weak."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed gives the same queries.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file in --out.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Draw queries to judge, from a log or, for want of one, from the documents.

    From a log, a third each of the queries that people ask most (head), often (torso) and
    seldom (tail); what differs only in case and punctuation is one query.

    Example:  secondpass sample-queries log.txt --count 60 --out queries.jsonl
    """
    from secondpass.cli.output import print_json

    if (log is None) is (index is None):
        raise InputError(
            "Queries are drawn from a log or from an index",
            fix="Give a log file, or --index FOLDER, and not both.",
        )
    if out.exists() and not force:
        raise InputError("The file is there already", where=str(out), fix="Use --force.")
    rows = _from_log(log, count, seed) if log is not None else _made(index, count, seed)
    named = [{"_id": f"q{i}", **row} for i, row in enumerate(rows, start=1)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in named)
    try:
        out.write_text(lines, encoding="utf-8")
    except OSError as error:
        raise InputError(
            "The queries cannot be written", where=str(out), why=error.strerror
        ) from error
    if as_json:
        print_json({"path": str(out), "queries": named})
    else:
        typer.echo(f"{out}: {len(named)} queries")
    if len(named) < count:
        typer.echo(f"There are only {len(named)} different queries.", err=True)


def _from_log(log: Path, count: int, seed: int) -> list[dict[str, Any]]:
    from secondpass.evaluate.query_sampling import read_query_log, sample_query_log

    return [asdict(one) for one in sample_query_log(read_query_log(log), count, seed=seed)]


def _made(folder: Path | None, count: int, seed: int) -> list[dict[str, Any]]:
    from secondpass.evaluate.query_sampling import (
        DOCUMENT_QUERIES_WARNING,
        sample_document_queries,
    )
    from secondpass.retrieve.lance.open import open_index

    assert folder is not None
    store = open_index(folder, create=False)
    try:
        documents = [document for batch in store.each_document() for document in batch]
    finally:
        store.close()
    typer.echo(DOCUMENT_QUERIES_WARNING, err=True)
    return [asdict(one) for one in sample_document_queries(documents, count, seed=seed)]
