"""`secondpass explain`: why a document is where it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass.cli import options
from secondpass.errors import InputError, ReadError

if TYPE_CHECKING:
    from secondpass.explain import Explanation


def explain(
    query: Annotated[str, typer.Argument(help="What was looked for.")],
    document: Annotated[
        str,
        typer.Argument(
            help="The id of a document or passage; without --index, a text file, - for "
            "standard input, or the text itself."
        ),
    ],
    index: Annotated[Path | None, typer.Option(help="The folder of the index.")] = None,
    model: options.Model = "bundled",
    mode: Annotated[str, typer.Option(help="hybrid, bm25 or vector.")] = "hybrid",
    candidates: Annotated[int, typer.Option(help="How many the first pass hands over.")] = 50,
    blend: Annotated[
        bool,
        typer.Option("--blend/--no-blend", help="Whether the first pass's scores still count."),
    ] = True,
    fields: Annotated[
        str | None,
        typer.Option(
            help='Fields to read, in order, separated by commas, as in "title,text", and to '
            "leave out one by one: where would it stand without?",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random spans to compare with.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Say which stage moved a document and why, and what would change its place.

    Shows the words that BM25 counted, the cosine, each window's score, and what every part
    of query and text adds to the reranker's score, checked against random parts; then where
    the document would stand without its title, its best sentences or each of --fields.

    Example:  secondpass explain "Who was Ada Lovelace?" ada-lovelace-01 --index my-index
    """
    from secondpass.cli.output import print_json, working
    from secondpass.explain import explain, explain_text
    from secondpass.index.index import Index
    from secondpass.reranker import Reranker

    if index is None:
        text = _text(document)
        with working("Explaining"):
            found = explain_text(
                Reranker(model), query, text, fields=options.split_names(fields), seed=seed
            )
    else:
        with Index.open(index, create=False) as opened, working("Explaining"):
            found = explain(
                opened,
                query,
                document,
                rerank=model,
                mode=mode,
                candidates=candidates,
                blend=blend,
                fields=options.split_names(fields),
                seed=seed,
            )
    if html is not None:
        _write(html, found)
    if as_json:
        print_json(found.as_object())
    elif html is None:
        from secondpass.explain.terminal import print_explanation

        print_explanation(found)


def _text(document: str) -> str:
    """Return the text of a file, of standard input, or the argument itself."""
    try:
        if document == "-":
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        elif len(document) < 1024 and Path(document).is_file():
            text = Path(document).read_text(encoding="utf-8-sig")
        else:
            text = document
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError("The text cannot be read", where=document, why=str(error)) from error
    if not text.strip():
        raise InputError("The text is empty", fix="Give a text to explain the score of.")
    return text


def _write(file: Path, found: Explanation) -> None:
    from secondpass.explain.html import html_page

    try:
        file.write_text(html_page(found), encoding="utf-8")
    except OSError as error:
        raise ReadError(
            "The page cannot be written", where=str(file), why=error.strerror
        ) from error
    typer.echo(f"{file}: open it in a browser", err=True)
