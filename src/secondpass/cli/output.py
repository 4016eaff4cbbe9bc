"""Responses as JSON objects and as tables.

What a person sees while something takes longer than a moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from secondpass.retrieve.bm25 import TermScore
    from secondpass.types import RankedDocument, RerankResponse


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object to standard output; dates and the like become text."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def response_object(response: RerankResponse) -> dict[str, Any]:
    """Return a response as the JSON object that `search` and `rerank` print."""
    return {
        "query": response.query,
        "model": response.model,
        "status": str(response.status),
        "reason": response.reason,
        "results": [result_object(r) for r in response.results],
        "timings": {name: round(ms, 3) for name, ms in response.timings.items()},
        "usage": asdict(response.usage),
    }


def result_object(result: RankedDocument) -> dict[str, Any]:
    """Return one result as a JSON object."""
    document = result.document
    return {
        "rank": result.rank,
        "index": result.index,
        "id": result.id,
        "score": result.score,
        "score_kind": str(result.score_kind),
        "probability": result.probability,
        "first_stage": asdict(result.first_stage),
        "parts": dict(result.parts),
        "truncated": result.truncated,
        "unread": result.unread,
        "windows": result.windows,
        "scored": result.scored,
        "title": None if document is None else document.title,
        "text": None if document is None else document.text,
        "metadata": None if document is None else dict(document.metadata),
    }


def print_response(
    response: RerankResponse,
    *,
    explain: bool = False,
    terms: Mapping[str, Sequence[TermScore]] | None = None,
) -> None:
    """Print results on standard output and what happened on standard error.

    `explain` adds the first stage's scores and what each stage added to the score, `terms`
    what each word added to the BM25 of a passage, by its id.
    """
    for result in response.results:
        head = f"{result.rank:>3}. score {result.score:.3f}  was {moved(result)}"
        if result.probability is not None:
            head += f"  probability {result.probability:.3f}"
        typer.echo(head)
        if explain:
            typer.echo(f"     {explanation(result)}")
            words = (terms or {}).get(result.id or "", ())
            if any(one.score > 0 for one in words):
                said = ", ".join(f"{w.word} {w.score:.2f}" for w in words if w.score > 0)
                typer.echo(f"     bm25 is the sum of {said}")
        typer.echo(f"     {label(result, 160)}")
    if not response.results:
        typer.echo(f"No results{': ' + response.reason if response.reason else ''}.", err=True)
    summary(response)


def explanation(result: RankedDocument) -> str:
    """Return on one line where a result's score comes from."""
    first = result.first_stage
    found = {"first stage": first.score, "bm25": first.bm25, "vector": first.vector}
    words = [f"{name} {value:.3f}" for name, value in found.items() if value is not None]
    if result.parts:
        words.append("sum of " + ", ".join(f"{n} {v:+.2f}" for n, v in result.parts.items()))
    words.append(
        f"read in {result.windows} windows, {result.unread} characters unread"
        if result.scored
        else "not scored by the second pass"
    )
    return "; ".join(words)


def print_comparison(before: RerankResponse, after: RerankResponse) -> None:
    """Print two responses side by side: the first stage's order and the second pass's."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"“{after.query}”", header_style="bold", show_lines=True, expand=True)
    table.add_column("", justify="right")
    table.add_column("before: first stage", ratio=1)
    table.add_column("after: second pass", ratio=1)
    for row in range(max(len(before.results), len(after.results))):
        old = before.results[row] if row < len(before.results) else None
        new = after.results[row] if row < len(after.results) else None
        left = "" if old is None else f"score {old.score:.3f}\n{label(old, 120)}"
        right = (
            ""
            if new is None
            else f"score {new.score:.3f}  probability {number(new.probability)}  "
            f"was {moved(new)}\n{label(new, 120)}"
        )
        table.add_row(str(row + 1), left, right)
    Console(markup=False, highlight=False).print(table)
    summary(after)


def label(result: RankedDocument, width: int) -> str:
    """Return an id, a title and the beginning of a text, on one line."""
    document = result.document
    if document is None:
        return "" if result.id is None else result.id
    names = [n for n in (result.id, document.title) if n]
    text = " ".join([*(f"[{n}]" for n in names), " ".join(document.text[: 4 * width].split())])
    return text if len(text) <= width else text[: width - 1] + "…"


def moved(result: RankedDocument) -> str:
    """Return the first-stage rank with the change, such as "7 ▲4"."""
    change = result.first_stage_rank - result.rank
    sign = f"▲{change}" if change > 0 else f"▼{-change}" if change < 0 else "="
    return f"{result.first_stage_rank} {sign}"


def number(value: float | None) -> str:
    """Return a number with three decimals, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def summary(response: RerankResponse) -> None:
    """Print what happened and how long each stage took to standard error."""
    stages = "  ".join(f"{name} {ms:.0f} ms" for name, ms in response.timings.items())
    usage, cut = response.usage, response.usage.truncated
    read = f"{usage.documents} candidates, {usage.scored} scored, {usage.pairs} windows read"
    if usage.requests:
        read += f", {usage.requests} requests"
        read += ", price unknown" if usage.cost is None else f", {usage.cost:.6f} USD"
    maker = "" if response.model is None else f" by {response.model}"
    typer.echo(f"{response.status}{maker}: {read}", err=True)
    if response.reason and response.results:
        typer.echo(f"({response.reason})", err=True)
    typer.echo(f"{stages}" + (f"  ({cut} not read to the end)" if cut else ""), err=True)


def stderr_console() -> Console:
    """Return a console on standard error, for progress bars."""
    from rich.console import Console

    return Console(stderr=True)


Stages = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner and the time on standard error; nothing where that is no terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar with the time left; gives a function to call with (done, total)."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console()) as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield update


@contextmanager
def stages() -> Iterator[Stages]:
    """Show a bar on standard error; gives a function to call with (stage, done, total).

    A total of 0 is not known. The time left is that of the stage.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as progress:
        tasks = {"": progress.add_task("start", total=None)}

        def update(stage: str, done: int, total: int) -> None:
            known = total if total > 0 else None
            if stage not in tasks:
                # Each stage has a bar of its own, so that its speed is told apart.
                tasks[stage] = progress.add_task(stage, total=known)
            for name, task in tasks.items():
                progress.update(task, visible=name == stage)
            progress.update(tasks[stage], completed=done, total=known)

        yield update
