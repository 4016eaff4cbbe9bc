"""`secondpass sample-queries`: sample queries to judge."""

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
            help='Query log: a query a line, "QUERY tab COUNT", or JSON lines with "query" '
            'and "count".',
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="JSON lines to write.")] = Path("queries.jsonl"),
    index: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Without a log: generate queries from this index's documents. Weak.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of queries.")] = 50,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file in --out.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Sample queries to judge from a query log or, without one, from the documents.

    From a log, a third each of the most frequent (head), frequent (torso) and rare (tail)
    queries; queries that differ only in case and punctuation are the same.

    Example:  secondpass sample-queries log.txt --count 60 --out queries.jsonl
    """
    from secondpass.cli.output import print_json
    from secondpass.storage import place_problem, replace_file

    if (log is None) is (index is None):
        raise InputError(
            "Queries are sampled from a log or from an index",
            fix="Give a log file, or --index, and not both.",
        )
    if out.exists() and not force:
        raise InputError("The file exists already", where=str(out), fix="Use --force.")
    rows = (
        _sample_log(log, count, seed)
        if log is not None
        else _sample_documents(index, count, seed)
    )
    queries = [{"_id": f"q{i}", **row} for i, row in enumerate(rows, start=1)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in queries)
    try:
        replace_file(out, lines)
    except OSError as error:
        if place_problem(error) is not None:
            raise
        raise InputError(
            "The queries cannot be written", where=str(out), why=error.strerror
        ) from error
    if as_json:
        print_json({"path": str(out), "queries": queries})
    else:
        typer.echo(f"{out}: {len(queries)} queries")
    if len(queries) < count:
        typer.echo(f"There are only {len(queries)} different queries.", err=True)


def _sample_log(log: Path, count: int, seed: int) -> list[dict[str, Any]]:
    from secondpass.evaluate.query_sampling import read_query_log, sample_query_log

    return [asdict(query) for query in sample_query_log(read_query_log(log), count, seed=seed)]


def _sample_documents(index: str | None, count: int, seed: int) -> list[dict[str, Any]]:
    from secondpass.evaluate.query_sampling import (
        DOCUMENT_QUERIES_WARNING,
        sample_document_queries,
    )
    from secondpass.index.storage.objects import parse_place
    from secondpass.index.storage.open import open_store

    assert index is not None
    store = open_store(parse_place(index), create=False)
    try:
        documents = [document for batch in store.iter_documents() for document in batch]
    finally:
        store.close()
    typer.echo(DOCUMENT_QUERIES_WARNING, err=True)
    return [asdict(query) for query in sample_document_queries(documents, count, seed=seed)]
