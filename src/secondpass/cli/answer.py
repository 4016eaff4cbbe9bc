"""`secondpass answer`: an answer from the documents of an index."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.search_options import chosen_options, takes_options
from secondpass.options import PlacementOptions


@takes_options(PlacementOptions)
def answer(
    query: Annotated[str, typer.Argument(help="The question.")],
    index: options.SearchedIndex = None,
    over: options.Over = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Language model, PROVIDER/MODEL; if absent, sentences of the documents."
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="URL of the --llm server, if not the provider's own.")
    ] = None,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Let the language model rewrite the query.")
    ] = False,
    passages: Annotated[int, typer.Option(help="Number of passages to answer from.")] = 5,
    context_tokens: Annotated[
        int, typer.Option(help="Maximum tokens of all passages together.")
    ] = 1500,
    context: Annotated[
        str,
        typer.Option(help="What --llm reads: passages, or spans (the sentences that answer)."),
    ] = "passages",
    min_probability: Annotated[
        float,
        typer.Option(
            help="Give no answer if no passage reaches this probability of relevance."
        ),
    ] = 0.03,
    candidates: options.FirstStageDepth = 50,
    filter: Annotated[  # noqa: A002 - the name of the option
        str | None, typer.Option(help='SQL condition on metadata, as in "year >= 2015".')
    ] = None,
    as_json: options.AsJson = False,
    **typed: Any,
) -> None:
    """Answer a question from an index or a database, with numbered citations.

    Example:  secondpass answer "How do I change my password?" --index my-index
    """
    from secondpass.answer import stream_answer
    from secondpass.cli.output import print_json, working
    from secondpass.llm import load_llm

    placement = chosen_options(PlacementOptions, typed)
    with ExitStack() as stack:
        model = None if llm is None else stack.enter_context(load_llm(llm, base_url=base_url))
        opened_index = stack.enter_context(options.open_source(index, over))
        stream = stream_answer(
            opened_index,
            query,
            llm=model,
            rewrite=rewrite,
            passages=passages,
            context_tokens=context_tokens,
            context=context,  # type: ignore[arg-type]
            min_probability=min_probability,
            search={"candidates": candidates, "filter": filter, **placement},
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


def answer_object(result: Any) -> dict[str, Any]:
    """Return an answer as the JSON object that the command prints."""
    return {
        "query": result.query,
        "text": result.text,
        "status": str(result.status),
        "reason": result.reason,
        "model": result.model,
        "searched": result.searched,
        "probability": result.probability,
        "citations": [
            {"number": c.number, "start": c.start, "supported": c.supported}
            for c in result.citations
        ],
        "removed": list(result.removed),
        "passages": [
            {
                "number": p.number,
                "ids": list(p.ids),
                "rank": p.rank,
                "title": p.title,
                "probability": p.probability,
                "highlight": None if p.highlight is None else list(p.highlight),
                "spans": [span._asdict() for span in p.spans],
                "text": p.text,
            }
            for p in result.passages
        ],
        "tokens": result.tokens,
        "timings": {name: round(ms, 3) for name, ms in result.timings.items()},
    }


def _print_sources(result: Any) -> None:
    cited = {c.number for c in result.citations}
    for passage in result.passages:
        if passage.number in cited:
            source = " ".join(filter(None, [", ".join(passage.ids), passage.title]))
            text = " ".join(passage.text.split())
            typer.echo(f"[{passage.number}] {source}: {text[:160]}{'…' * (len(text) > 160)}")
    for citation in result.citations:
        if not citation.supported:
            typer.echo(
                f"Check [{citation.number}]: its words differ from the passage's.", err=True
            )
    if result.removed:
        typer.echo(
            f"Removed citations of passages that do not exist: {sorted(set(result.removed))}",
            err=True,
        )
    typer.echo(
        f"{result.status} by {result.model}" + (f": {result.reason}" if result.reason else ""),
        err=True,
    )
