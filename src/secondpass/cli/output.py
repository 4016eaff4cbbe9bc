"""Terminal output: responses as JSON and tables, and progress bars or lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from threading import Timer
from typing import TYPE_CHECKING, Any

import typer

from secondpass.plain_progress import EVERY, is_terminal, plain_progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from secondpass.retrieve.bm25 import TermScore
    from secondpass.types import RankedDocument, RerankResponse


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object to standard output; dates and other types become strings."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def response_object(response: RerankResponse) -> dict[str, Any]:
    """Return a response as the JSON object that `search` and `rerank` print."""
    return {
        "query": response.query,
        "model": response.model,
        "status": str(response.status),
        "reason": response.reason,
        "query_unread": response.query_unread,
        "warnings": list(response.warnings),
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
        "document_id": result.document_id,
        "chunk": result.chunk,
        "score": result.score,
        "score_kind": str(result.score_kind),
        "probability": result.probability,
        "first_stage": asdict(result.first_stage),
        "parts": dict(result.parts),
        "truncated": result.truncated,
        "unread": result.unread,
        "windows": result.windows,
        "scored": result.scored,
        "spans": [span._asdict() for span in result.spans],
        "best_window": result.best_window,
        "title": None if document is None else document.title,
        "text": None if document is None else document.text,
        "metadata": None if document is None else dict(document.metadata),
    }


def print_response(
    response: RerankResponse,
    *,
    explain: bool = False,
    terms: Sequence[Sequence[TermScore]] | None = None,
) -> None:
    """Print results to standard output and a summary to standard error.

    `explain` adds first-stage scores and the parts of each score; `terms` adds the BM25
    contribution of each query word, for each result.
    """
    for position, result in enumerate(response.results):
        head = f"{result.rank:>3}. score {result.score:.3f}  was {rank_change(result)}"
        if result.probability is not None:
            head += f"  probability {result.probability:.3f}"
        typer.echo(head)
        if explain:
            typer.echo(f"     {describe_score(result)}")
            words = terms[position] if terms else ()
            parts = [f"{w.word} {w.score:.2f}" for w in words if w.score > 0]
            if parts:
                typer.echo(f"     bm25 is the sum of {', '.join(parts)}")
        typer.echo(f"     {label(result, 160)}")
        for line in span_lines(result):
            typer.echo(f"     {line}")
    if not response.results:
        typer.echo(f"No results{': ' + response.reason if response.reason else ''}.", err=True)
    print_summary(response)


def span_lines(result: RankedDocument) -> list[str]:
    """Return a line for each span, with its sentence in color where the terminal has it."""
    if result.document is None:
        return []
    text = result.document.text
    return [
        f"» {typer.style(' '.join(text[s.start : s.end].split()), fg='green', bold=True)}"
        f"  (characters {s.start} to {s.end}, {s.probability:.2f})"
        for s in result.spans
    ]


def describe_score(result: RankedDocument) -> str:
    """Return one line that says how a result's score was computed."""
    first = result.first_stage
    scores = {"first stage": first.score, "bm25": first.bm25, "vector": first.vector}
    clauses = [f"{name} {value:.3f}" for name, value in scores.items() if value is not None]
    if result.parts:
        clauses.append("sum of " + ", ".join(f"{n} {v:+.2f}" for n, v in result.parts.items()))
    clauses.append(
        f"read in {result.windows} windows, {result.unread} characters unread"
        if result.scored
        else "not scored by the reranker"
    )
    return "; ".join(clauses)


def print_comparison(before: RerankResponse, after: RerankResponse) -> None:
    """Print two responses side by side: first-stage order and reranked order."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"“{after.query}”", header_style="bold", show_lines=True, expand=True)
    table.add_column("", justify="right")
    table.add_column("before: first stage", ratio=1)
    table.add_column("after: reranked", ratio=1)
    for row in range(max(len(before.results), len(after.results))):
        old = before.results[row] if row < len(before.results) else None
        new = after.results[row] if row < len(after.results) else None
        left = "" if old is None else f"score {old.score:.3f}\n{label(old, 120)}"
        right = (
            ""
            if new is None
            else f"score {new.score:.3f}  probability {format_number(new.probability)}  "
            f"was {rank_change(new)}\n{label(new, 120)}"
        )
        table.add_row(str(row + 1), left, right)
    Console(markup=False, highlight=False).print(table)
    print_summary(after)


def label(result: RankedDocument, width: int) -> str:
    """Return the id, the title and the beginning of the text, on one line."""
    document = result.document
    if document is None:
        return "" if result.id is None else result.id
    names = [n for n in (result.id, document.title) if n]
    text = " ".join([*(f"[{n}]" for n in names), " ".join(document.text[: 4 * width].split())])
    return text if len(text) <= width else text[: width - 1] + "…"


def rank_change(result: RankedDocument) -> str:
    """Return the first-stage rank and its change, such as "7 ▲4"."""
    change = result.first_stage_rank - result.rank
    sign = f"▲{change}" if change > 0 else f"▼{-change}" if change < 0 else "="
    return f"{result.first_stage_rank} {sign}"


def format_number(value: float | None) -> str:
    """Return a number with three decimals, or a dash for None."""
    return "-" if value is None else f"{value:.3f}"


def print_summary(response: RerankResponse) -> None:
    """Print status, counts, cost and the time of each stage to standard error."""
    timings = response.timings
    beside = " (at the same time)" if {"bm25", "embed"} <= timings.keys() else ""
    stages = "  ".join(
        f"{name} {ms:.0f} ms{beside if name == 'bm25' else ''}" for name, ms in timings.items()
    )
    usage = response.usage
    read = f"{usage.documents} candidates, {usage.scored} scored, {usage.pairs} windows read"
    if usage.requests:
        read += f", {usage.requests} requests"
        read += ", price unknown" if usage.cost is None else f", {usage.cost:.6f} USD"
    maker = "" if response.model is None else f" by {response.model}"
    typer.echo(f"{response.status}{maker}: {read}", err=True)
    if response.reason and response.results:
        typer.echo(f"({response.reason})", err=True)
    for warning in response.warnings:
        typer.echo(warning, err=True)
    typer.echo(stages, err=True)


def stderr_console() -> Console:
    """Return a console on standard error, for progress bars."""
    from rich.console import Console

    return Console(stderr=True)


Stages = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


# The bar that is on the terminal, if any: two would overwrite each other.
_shown: list[Progress] = []


@contextmanager
def _alone(progress: Progress, *, start_after: float = 0.0) -> Iterator[Progress]:
    """Show a bar, after so many seconds, in place of the one that is shown."""
    for other in _shown:
        other.stop()
    _shown.append(progress)
    timer = Timer(start_after, progress.start)
    timer.daemon = True
    timer.start() if start_after else progress.start()
    try:
        yield progress
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()
        progress.stop()
        _shown.remove(progress)
        if _shown:
            _shown[-1].start()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show a spinner and the time on standard error, or lines if it is no terminal."""
    if not is_terminal():
        with plain_progress(begin_after=EVERY) as plain:
            plain.update(what, 0, None)
            yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=stderr_console(), transient=True)
    with _alone(bar) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar, or lines; yield a function to call with (done, total)."""
    if not is_terminal():
        with plain_progress(unit=unit) as plain:
            plain.update(what, 0, None)
            yield lambda done, total: plain.update(what, done, total)
        return
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
    with _alone(Progress(*columns, console=stderr_console())) as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield update


@contextmanager
def downloading(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, or lines, after one second; yield a function to call with bytes, total."""
    if not is_terminal():
        with plain_progress(unit="MB") as plain:
            plain.update(what, 0, None)
            yield lambda done, total: plain.update(what, round(done / 1e6), round(total / 1e6))
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with _alone(Progress(*columns, console=stderr_console()), start_after=1.0) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _NoteHandler(logging.Handler):
    """Prints log records as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"Note: {record.getMessage()}", err=True)


_notes = _NoteHandler(logging.WARNING)


def show_model_messages() -> None:
    """Show downloads of models, and what is logged about them, on standard error."""
    from secondpass.inference.hub_client import LOGGER, show_progress_with

    show_progress_with(downloading)
    logging.getLogger(LOGGER).addHandler(_notes)


def hide_model_messages() -> None:
    """Undo `show_model_messages`."""
    from secondpass.inference.hub_client import LOGGER, show_progress_with

    show_progress_with(None)
    logging.getLogger(LOGGER).removeHandler(_notes)


@contextmanager
def stages() -> Iterator[Stages]:
    """Show a progress bar for each stage, or lines if standard error is no terminal.

    Yields a function to call with (stage, done, total). A total of 0 means unknown. The time
    left is that of the current stage.
    """
    if not is_terminal():
        with plain_progress() as plain:
            plain.update("start", 0, None)
            yield lambda stage, done, total: plain.update(
                stage, done, total if total > 0 else None
            )
        return
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
    with _alone(Progress(*columns, console=stderr_console(), transient=True)) as progress:
        tasks = {"": progress.add_task("start", total=None)}

        def update(stage: str, done: int, total: int) -> None:
            known = total if total > 0 else None
            if stage not in tasks:
                # A task for each stage, so that its speed is measured separately.
                tasks[stage] = progress.add_task(stage, total=known)
            for name, task in tasks.items():
                progress.update(task, visible=name == stage)
            progress.update(tasks[stage], completed=done, total=known)

        yield update
