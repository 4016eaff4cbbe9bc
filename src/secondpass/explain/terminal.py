"""Explanations printed to the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from secondpass.explain.phrases import (
    HighlightedSpan,
    describe_counterfactual,
    describe_faithfulness,
    headline,
    highlight_spans,
    mark_answers,
    stage_rows,
    term_label,
    term_note,
)
from secondpass.explain.types import Explanation

_MIN_STRENGTH = 0.12
_BAR_WIDTH = 20


def print_explanation(explanation: Explanation, console: Console | None = None) -> None:
    """Print an explanation to standard output, in color where the terminal has it."""
    console = Console(highlight=False) if console is None else console
    for block in _blocks(explanation):
        console.print(block)


def _blocks(explanation: Explanation) -> list[RenderableType]:
    document = explanation.document
    blocks: list[RenderableType] = [Text(f"“{explanation.query}”", style="bold")]
    name = " · ".join(part for part in (document.id, document.title) if part)
    if name:
        blocks.append(Text(name, style="cyan"))
    blocks += [Text(headline(explanation)), Text("")]
    for heading, block in (
        ("Rank by stage", _stages(explanation)),
        ("BM25 score by query term", _terms(explanation)),
        ("Windows that the reranker read", _windows(explanation)),
        ("Sentences that answer", _answers(explanation)),
        ("What matters to the reranker", _highlights(explanation)),
        ("What would change its rank", _counterfactuals(explanation)),
        ("Notes", _lines(explanation.notes)),
    ):
        if block is not None:
            blocks += [Text(heading, style="bold"), Padding(block, (0, 0, 1, 2))]
    return blocks


def _stages(explanation: Explanation) -> Table | None:
    rows = stage_rows(explanation)
    if not rows:
        return None
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for justify in ("left", "right", "right", "left"):
        table.add_column(justify=justify)
    for row in rows:
        table.add_row(*row)
    return table


def _terms(explanation: Explanation) -> Table | None:
    terms = explanation.terms
    if not terms:
        return None
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    largest = max(term.score for term in terms)
    for term in terms:
        bar = "█" * round(_BAR_WIDTH * term.score / largest) if largest > 0 else ""
        table.add_row(
            term_label(term), f"{term.score:.3f}", Text(bar, "green"), term_note(term)
        )
    table.add_row("sum", f"{sum(term.score for term in terms):.3f}")
    return table


def _windows(explanation: Explanation) -> RenderableType | None:
    windows = explanation.windows
    if len(windows) < 2:
        return None
    best = max(window.score for window in windows)
    return _lines(
        f"characters {w.start} to {w.end}: {w.score:.2f}{'  ← best' if w.score == best else ''}"
        for w in windows
    )


def _answers(explanation: Explanation) -> Text | None:
    if not explanation.answers:
        return None
    return Text.assemble(
        *(
            (piece, "bold underline" if answers else "dim")
            for piece, answers in mark_answers(explanation)
        )
    )


def _highlights(explanation: Explanation) -> RenderableType | None:
    spans, document = explanation.spans, explanation.document
    if not spans:
        return None
    parts: list[RenderableType] = [
        _colored(highlight_spans(explanation.query, "query", spans)),
        Text(""),
    ]
    if document.title:
        parts.append(_colored(highlight_spans(document.title, "title", spans)))
    parts.append(_colored(highlight_spans(document.text, "text", spans)))
    parts.append(Text("green adds to the score, red takes away", style="dim"))
    if explanation.faithfulness is not None:
        parts.append(Text(describe_faithfulness(explanation.faithfulness)))
    return Group(*parts)


def _colored(pieces: Sequence[HighlightedSpan]) -> Text:
    text = Text()
    for piece, strength in pieces:
        if abs(strength) < _MIN_STRENGTH:
            text.append(piece)
            continue
        level = int(60 + 120 * abs(strength))
        color = f"rgb(0,{level},0)" if strength > 0 else f"rgb({level},0,0)"
        text.append(piece, style=f"white on {color}")
    return text


def _counterfactuals(explanation: Explanation) -> RenderableType | None:
    ranks = explanation.places
    if not explanation.counterfactuals or ranks is None:
        return None
    return _lines(
        describe_counterfactual(counterfactual, ranks.final)
        for counterfactual in explanation.counterfactuals
    )


def _lines(lines: Iterable[str]) -> Text | None:
    text = "\n".join(lines)
    return Text(text) if text else None
