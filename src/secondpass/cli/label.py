"""`secondpass label`: judgements, by a person or by a language model."""

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
    index: options.IndexFolder,
    queries: Annotated[
        Path,
        typer.Option(help='JSON lines with "_id" and "text", "ID tab TEXT", or one a line.'),
    ],
    out: Annotated[Path, typer.Option(help="The grades to write or go on with.")] = Path(
        "qrels.tsv"
    ),
    depth: Annotated[int, typer.Option(min=1, help="How many of each system are judged.")] = 10,
    systems: Annotated[
        str, typer.Option(help="Whose candidates are pooled.")
    ] = "bm25,vector,hybrid,reranked",
    model: options.Model = "bundled",
    seed: Annotated[int, typer.Option(help="Of the order in which passages are shown.")] = 0,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Let a language model judge: the base of a server that speaks OpenAI's chat "
            f"completions. Its key is read from {KEY}.",
        ),
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's model.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Other grades to measure the agreement with.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge passages for queries: pooled from several systems, blind and shuffled.

    Every judgement is on disk before the next passage is shown. Stop with q, Ctrl-C or
    however else, and run the same command to go on.

    Example:  secondpass label --index my-index --queries queries.jsonl --out qrels.tsv
    """
    from secondpass.cli.output import counting, print_json, stderr_console, working
    from secondpass.cli.terminal_keys import keyboard
    from secondpass.evaluate.judge import agreement, chat_judge, judge_all
    from secondpass.evaluate.labelling import GradeFile, Labelling
    from secondpass.evaluate.pooling import check_systems, pool
    from secondpass.evaluate.qrels import read_qrels
    from secondpass.evaluate.queries import read_queries
    from secondpass.index.index import Index
    from secondpass.types import Document

    chosen = check_systems(options.split_names(systems) or [])
    if (judge is None) is not (judge_model is None):
        raise InputError("A judge needs both --judge URL and --judge-model NAME")
    asked = read_queries(queries)
    other = None if compare is None else read_qrels(compare).grades
    with Index.open(index, create=False) as opened:

        def documents(name: str, text: str) -> list[Document]:
            # The bar of a judge is there already, and two would fight for the line.
            with working("Searching") if judge is None else nullcontext():
                return pool(
                    opened, name, text, systems=chosen, depth=depth, model=model, seed=seed
                )

        file = GradeFile(out)
        labelling = Labelling(asked, documents, file)
        if judge is not None and judge_model is not None:
            server = chat_judge(judge, judge_model, key=os.environ.get(KEY))
            with counting("Judging", "queries") as update:
                judge_all(labelling, server, update)
        else:
            with keyboard() as keys:
                ask(labelling, keys.next, stderr_console())
    found = None if other is None else agreement(file.grades, other)
    if as_json:
        print_json(_object(labelling, out, found))
    else:
        _print(labelling, out, found)


def ask(labelling: Labelling, next_key: Any, console: Console) -> None:
    """Show pairs and take keys until all are judged or somebody stops."""
    while (asked := labelling.current()) is not None:
        _show(asked, len(labelling.file), console)
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


def _show(asked: PairToJudge, judged: int, console: Console) -> None:
    from rich.text import Text

    from secondpass.inference.tokenizer import clean

    at = (
        f"query {asked.query_number} of {asked.queries},"
        f" passage {asked.document_number} of {asked.pool_size}"
    )
    document = asked.document
    text = document.text
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
    console.rule(Text(f"{at}, {judged} judged"), style="dim")
    console.print(Text(clean(asked.query), style="bold"))
    if document.title is not None:
        console.print(Text(clean(document.title), style="cyan"))
    console.print(Text(clean(shown)))
    console.print(Text(HELP, style="dim"))


def _object(labelling: Labelling, out: Path, found: Agreement | None) -> dict[str, Any]:
    return {
        "path": str(out),
        "judged": labelling.judged,
        "skipped": labelling.skipped,
        "total": len(labelling.file),
        "agreement": None if found is None else asdict(found),
    }


def _print(labelling: Labelling, out: Path, found: Agreement | None) -> None:
    typer.echo(
        f"{out}: {labelling.judged} judged now, {labelling.skipped} skipped, "
        f"{len(labelling.file)} in all"
    )
    if found is not None:
        typer.echo(
            f"    agreement over {found.pairs} pairs of {found.queries} queries: "
            f"{found.same:.0%} equal, kappa {_number(found.kappa)} "
            f"({_number(found.low)} to {_number(found.high)}), weighted "
            f"{_number(found.weighted)}, relevant or not {_number(found.binary)}"
        )


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
