"""`secondpass answer`: an answer from the documents of an index."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from secondpass.cli import options


def answer(
    query: Annotated[str, typer.Argument(help="The question.")],
    index: options.IndexFolder,
    llm: Annotated[
        str | None,
        typer.Option(help="PROVIDER/MODEL; without it, sentences of the documents."),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The server's address, if not the provider's own.")
    ] = None,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Let the model word the search.")
    ] = False,
    passages: Annotated[int, typer.Option(help="How many passages are read.")] = 5,
    context_tokens: Annotated[int, typer.Option(help="Their tokens, all together.")] = 1500,
    min_probability: Annotated[
        float, typer.Option(help="If no passage is as likely relevant, there is no answer.")
    ] = 0.03,
    candidates: Annotated[int, typer.Option(help="How many the first pass hands over.")] = 50,
    filter: Annotated[  # noqa: A002 - the name of the option
        str | None, typer.Option(help='An SQL condition on metadata, as in "year >= 2015".')
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Answer a question from an index, with numbered citations.

    Example:  secondpass answer "How do I change my password?" --index my-index
    """
    from secondpass.answer import stream_answer
    from secondpass.cli.output import print_json, working
    from secondpass.index.index import Index
    from secondpass.llm import load_llm

    with ExitStack() as stack:
        model = None if llm is None else stack.enter_context(load_llm(llm, base_url=base_url))
        opened = stack.enter_context(Index.open(index, create=False))
        stream = stream_answer(
            opened,
            query,
            llm=model,
            rewrite=rewrite,
            passages=passages,
            context_tokens=context_tokens,
            min_probability=min_probability,
            search={"candidates": candidates, "filter": filter},
        )
        pieces = iter(stream)
        with working("Reading"):
            first = next(pieces, "")
        if not as_json:
            typer.echo(first, nl=False)
        for piece in pieces:
            if not as_json:
                typer.echo(piece, nl=False)
    assert stream.answer is not None
    if as_json:
        print_json(answer_object(stream.answer))
        return
    typer.echo()
    _print_sources(stream.answer)


def answer_object(found: Any) -> dict[str, Any]:
    """Return an answer as the JSON object that the command prints."""
    return {
        "query": found.query,
        "text": found.text,
        "status": str(found.status),
        "reason": found.reason,
        "model": found.model,
        "searched": found.searched,
        "probability": found.probability,
        "citations": [
            {"number": c.number, "start": c.start, "supported": c.supported}
            for c in found.citations
        ],
        "removed": list(found.removed),
        "passages": [
            {
                "number": p.number,
                "ids": list(p.ids),
                "rank": p.rank,
                "title": p.title,
                "probability": p.probability,
                "highlight": None if p.highlight is None else list(p.highlight),
                "text": p.text,
            }
            for p in found.passages
        ],
        "tokens": found.tokens,
        "timings": {name: round(ms, 3) for name, ms in found.timings.items()},
    }


def _print_sources(found: Any) -> None:
    cited = {c.number for c in found.citations}
    for passage in found.passages:
        if passage.number in cited:
            named = " ".join(filter(None, [", ".join(passage.ids), passage.title]))
            text = " ".join(passage.text.split())
            typer.echo(f"[{passage.number}] {named}: {text[:160]}{'…' * (len(text) > 160)}")
    for citation in found.citations:
        if not citation.supported:
            typer.echo(
                f"Check [{citation.number}]: its words differ from the passage's.", err=True
            )
    if found.removed:
        typer.echo(f"Removed citations of no passage: {sorted(set(found.removed))}", err=True)
    typer.echo(
        f"{found.status} by {found.model}" + (f": {found.reason}" if found.reason else ""),
        err=True,
    )
