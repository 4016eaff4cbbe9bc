"""`secondpass label`: relevance judgments by a person or a language model."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from secondpass.evaluate.judge import Agreement
    from secondpass.evaluate.labelling import Labelling, PairToJudge

KEY = "SECONDPASS_JUDGE_KEY"
HELP = "3 answers 2 in part 1 on the subject 0 unrelated | s skip n next u undo q quit"
_SHOWN = 2000


def label(
    queries: Annotated[
        Path,
        typer.Option(
            help='Queries: JSON lines with "_id" and "text", "ID tab TEXT", or one a line.'
        ),
    ],
    index: options.SearchedIndex = None,
    over: options.Over = None,
    out: Annotated[Path, typer.Option(help="Judgments file to create or continue.")] = Path(
        "qrels.tsv"
    ),
    depth: Annotated[
        int, typer.Option(min=1, help="Pool depth: results of each system to judge.")
    ] = 10,
    systems: Annotated[
        str, typer.Option(help="Systems whose results are pooled.")
    ] = "bm25,vector,hybrid,reranked",
    model: options.Model = "bundled",
    seed: Annotated[int, typer.Option(help="Random seed of the order of passages.")] = 0,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Let a language model judge: base URL of a server with OpenAI's chat "
            f"completions API. Its key is read from {KEY}.",
        ),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Model name of the judge.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Other judgments to measure the agreement with.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge passages for queries: pooled from several systems, unattributed and shuffled.

    Every judgment is written to disk before the next passage is shown. Stop with q or
    Ctrl-C, and run the same command to continue.

    Example:  secondpass label --index my-index --queries queries.jsonl --out qrels.tsv
    """
    from secondpass.cli.output import counting, print_json, stderr_console, working
    from secondpass.cli.terminal_keys import keyboard
    from secondpass.evaluate.judge import agreement, chat_judge, judge_all
    from secondpass.evaluate.labelling import GradeFile, Labelling
    from secondpass.evaluate.pooling import available_systems, check_systems, pool
    from secondpass.evaluate.qrels import read_qrels
    from secondpass.evaluate.queries import read_queries
    from secondpass.types import Document

    pooled = check_systems(options.split_names(systems) or [])
    if (judge is None) is not (judge_model is None):
        raise InputError("A judge needs both --judge URL and --judge-model NAME")
    query_texts = read_queries(queries)
    other = None if compare is None else read_qrels(compare).grades
    with options.open_source(index, over) as opened:
        missing = sorted(set(pooled) - set(available_systems(opened, pooled)))
        if missing:
            options.print_notes((f"not searched here: {', '.join(missing)}",))
        pooled = available_systems(opened, pooled)
        if not pooled:
            raise InputError("None of the systems can be searched here", where=opened.name)

        def pool_documents(name: str, text: str) -> list[Document]:
            # With a judge, its progress bar already uses the line.
            with working("Searching") if judge is None else nullcontext():
                return pool(
                    opened, name, text, systems=pooled, depth=depth, model=model, seed=seed
                )

        file = GradeFile(out)
        labelling = Labelling(query_texts, pool_documents, file)
        if judge is not None and judge_model is not None:
            server = chat_judge(judge, judge_model, key=os.environ.get(KEY))
            with counting("Judging", "queries") as update:
                judge_all(labelling, server, update)
        else:
            with keyboard() as keys:
                judge_interactively(labelling, keys.next, stderr_console())
    compared = None if other is None else agreement(file.grades, other)
    if as_json:
        print_json(_as_object(labelling, out, compared))
    else:
        _print(labelling, out, compared)


def judge_interactively(labelling: Labelling, next_key: Any, console: Console) -> None:
    """Show pairs and read keys until all are judged or the user quits."""
    while (pair := labelling.current()) is not None:
        _show(pair, len(labelling.file), console)
        while True:
            key = next_key()
            if key in ("q", ""):
                return
            if key in ("0", "1", "2", "3"):
                labelling.grade(int(key))
            elif key == "s":
                labelling.skip()
            elif key == "n":
                labelling.skip_query()
            elif key != "u" or not labelling.undo():
                console.print("There is nothing to undo." if key == "u" else HELP, style="dim")
                continue
            break


def _show(pair: PairToJudge, judged: int, console: Console) -> None:
    from rich.text import Text

    from secondpass.inference.unicode import clean

    position = (
        f"query {pair.query_number} of {pair.queries},"
        f" passage {pair.document_number} of {pair.pool_size}"
    )
    document = pair.document
    text = document.text
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
    console.rule(Text(f"{position}, {judged} judged"), style="dim")
    console.print(Text(clean(pair.query), style="bold"))
    if document.title is not None:
        console.print(Text(clean(document.title), style="cyan"))
    console.print(Text(clean(shown)))
    console.print(Text(HELP, style="dim"))


def _as_object(labelling: Labelling, out: Path, agreement: Agreement | None) -> dict[str, Any]:
    return {
        "path": str(out),
        "judged": labelling.judged,
        "skipped": labelling.skipped,
        "total": len(labelling.file),
        "agreement": None if agreement is None else asdict(agreement),
    }


def _print(labelling: Labelling, out: Path, agreement: Agreement | None) -> None:
    typer.echo(
        f"{out}: {labelling.judged} judged now, {labelling.skipped} skipped, "
        f"{len(labelling.file)} in all"
    )
    if agreement is not None:
        kappa, low, high, weighted, binary = map(
            _format_number,
            (
                agreement.kappa,
                agreement.low,
                agreement.high,
                agreement.weighted,
                agreement.binary,
            ),
        )
        typer.echo(
            f"    agreement over {agreement.pairs} pairs of {agreement.queries} queries: "
            f"{agreement.same:.0%} equal, kappa {kappa} ({low} to {high}), "
            f"weighted {weighted}, relevant or not {binary}"
        )


def _format_number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
