"""`secondpass explain`: why a document has its rank."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondpass.cli import options
from secondpass.errors import InputError, ReadError
from secondpass.option_types import declared
from secondpass.option_values import (
    RESCORE_AUTO,
    RESCORE_NONE,
    RESCORE_WEIGHT,
    RESCORE_WINDOW,
)
from secondpass.options import BoostOptions, PolicyOptions

if TYPE_CHECKING:
    from secondpass.explain import Explanation


def explain(
    query: Annotated[str, typer.Argument(help="Query to explain a result of.")],
    document: Annotated[
        str,
        typer.Argument(
            help="Id of a document or passage; without --index and --over, a text file, "
            "- for standard input, or the text itself."
        ),
    ],
    index: options.SearchedIndex = None,
    over: options.Over = None,
    model: options.Model = "bundled",
    mode: options.FirstStageMode = "hybrid",
    candidates: options.FirstStageDepth = 50,
    blend: Annotated[
        bool,
        typer.Option("--blend/--no-blend", help="Whether to blend first-stage scores in."),
    ] = True,
    boost: Annotated[
        list[str] | None, typer.Option(help=declared(BoostOptions)["boost"].help)
    ] = None,
    rescore: Annotated[
        str, typer.Option(help=declared(PolicyOptions)["rescore"].help)
    ] = RESCORE_AUTO,
    rescore_window: Annotated[
        int, typer.Option(help=declared(PolicyOptions)["rescore_window"].help)
    ] = RESCORE_WINDOW,
    rescore_weight: Annotated[
        float, typer.Option(help=declared(PolicyOptions)["rescore_weight"].help)
    ] = RESCORE_WEIGHT,
    fields: Annotated[
        str | None,
        typer.Option(
            help='Document fields to read, in order, as in "title,text"; also shows the rank '
            "without each of them.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the spans to compare with.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Explain which stage moved a document and why, and what would change its rank.

    Shows the words that BM25 counted, the cosine similarity, each window's score, and what
    every part of query and text adds to the reranker's score, compared with random parts;
    then the rank without the title, the best sentences or each of --fields.

    Example:  secondpass explain "Who was Ada Lovelace?" ada-lovelace-01 --index my-index
    """
    from secondpass.cli.output import print_json, working
    from secondpass.explain import explain, explain_text
    from secondpass.reranker import Reranker

    if index is None and over is None:
        rescored = rescore not in (RESCORE_AUTO, RESCORE_NONE)
        for name, given in (("boosts are", boost), ("rescore is", rescored)):
            if given:
                raise InputError(
                    f"{name} for the results of a search", fix="Add --index or --over."
                )
        text = _read_text(document)
        with working("Explaining"):
            explanation = explain_text(
                Reranker(model), query, text, fields=options.split_names(fields), seed=seed
            )
    else:
        with options.open_source(index, over) as opened, working("Explaining"):
            explanation = explain(
                opened,
                query,
                document,
                rerank=model,
                mode=mode,
                candidates=candidates,
                blend=blend,
                boost=boost or (),
                rescore=rescore,
                rescore_window=rescore_window,
                rescore_weight=rescore_weight,
                fields=options.split_names(fields),
                seed=seed,
            )
    if html is not None:
        _write(html, explanation)
    if as_json:
        print_json(explanation.as_object())
    elif html is None:
        from secondpass.explain.terminal import print_explanation

        print_explanation(explanation)


def _read_text(document: str) -> str:
    """Read the text of a file or of standard input, or return the argument itself."""
    from secondpass.retrieve.loaders.base import decode_text, read_text

    if document == "-":
        text = decode_text(sys.stdin.buffer.read(), Path("input.txt"))
    elif len(document) < 1024 and "\0" not in document and Path(document).is_file():
        text = read_text(Path(document))
    else:
        text = document
    if not text.strip():
        raise InputError("The text is empty", fix="Give a text to explain the score of.")
    return text


def _write(file: Path, explanation: Explanation) -> None:
    from secondpass.explain.html import html_page
    from secondpass.storage import place_problem, replace_file

    try:
        replace_file(file, html_page(explanation))
    except OSError as error:
        if place_problem(error) is not None:
            raise
        raise ReadError(
            "The page cannot be written", where=str(file), why=error.strerror
        ) from error
    typer.echo(f"{file}: open it in a browser", err=True)
