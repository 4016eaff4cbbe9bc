"""An explanation for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from secondpass.explain.phrases import (
    HighlightedSpan,
    headline,
    ordinal,
    shades,
    trust,
    what_if,
)
from secondpass.explain.types import Explanation

_WEAKEST = 0.12


def print_explanation(one: Explanation, console: Console | None = None) -> None:
    """Print an explanation to standard output, in colours where the terminal has any."""
    console = Console(highlight=False) if console is None else console
    for block in _blocks(one):
        console.print(block)


def _blocks(one: Explanation) -> list[RenderableType]:
    title = Text(f"“{one.query}”", style="bold")
    name = " · ".join(n for n in (one.document.id, one.document.title) if n)
    blocks: list[RenderableType] = [title]
    if name:
        blocks.append(Text(name, style="cyan"))
    blocks += [Text(headline(one)), Text("")]
    for heading, block in (
        ("Where each stage puts it", _stages(one)),
        ("Words of the query, in BM25", _terms(one)),
        ("What the reranker read", _windows(one)),
        ("What matters to the reranker", _text(one)),
        ("What would change its place", _changes(one)),
        ("Notes", _lines(one.notes)),
    ):
        if block is not None:
            blocks += [Text(heading, style="bold"), Padding(block, (0, 0, 1, 2))]
    return blocks


def _stages(one: Explanation) -> Table | None:
    places = one.places
    if places is None:
        return None
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    for name, place, value, part in (
        ("BM25", places.bm25, one.bm25, "bm25"),
        ("cosine", places.vector, one.vector, "vector"),
        ("first pass", places.first, None, ""),
        ("reranker", places.reranker, one.score, "rerank"),
        ("result", places.final, one.final_score, ""),
    ):
        added = f"{one.parts[part]:+.2f} in the sum" if part in one.parts else ""
        table.add_row(
            name,
            "not handed over" if place is None else ordinal(place),
            "" if value is None else f"{value:.3f}",
            added,
        )
    return table


def _terms(one: Explanation) -> Table | None:
    if not one.terms:
        return None
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    largest = max((t.score for t in one.terms), default=0.0)
    for term in one.terms:
        bar = "█" * round(20 * term.score / largest) if largest > 0 else ""
        why = "" if term.score > 0 else "not in this text"
        said = why if term.indexed else "a stop word, or in no text"
        times = f" \u00d7{term.count}" if term.count > 1 else ""
        table.add_row(f"{term.word}{times}", f"{term.score:.3f}", Text(bar, "green"), said)
    table.add_row("sum", f"{sum(t.score for t in one.terms):.3f}")
    return table


def _windows(one: Explanation) -> RenderableType | None:
    if len(one.windows) < 2:
        return None
    best = max(w.score for w in one.windows)
    return _lines(
        f"characters {w.start} to {w.end}: {w.score:.2f}{'  ← best' if w.score == best else ''}"
        for w in one.windows
    )


def _text(one: Explanation) -> RenderableType | None:
    if not one.spans:
        return None
    parts: list[RenderableType] = [_coloured(shades(one.query, "query", one.spans)), Text("")]
    if one.document.title:
        parts.append(_coloured(shades(one.document.title, "title", one.spans)))
    parts.append(_coloured(shades(one.document.text, "text", one.spans)))
    parts.append(Text("green adds to the score, red takes away", style="dim"))
    if one.faithfulness is not None:
        parts.append(Text(trust(one.faithfulness)))
    return Group(*parts)


def _coloured(pieces: Sequence[HighlightedSpan]) -> Text:
    text = Text()
    for piece, strength in pieces:
        if abs(strength) < _WEAKEST:
            text.append(piece)
            continue
        level = int(60 + 120 * abs(strength))
        colour = f"rgb(0,{level},0)" if strength > 0 else f"rgb({level},0,0)"
        text.append(piece, style=f"white on {colour}")
    return text


def _changes(one: Explanation) -> RenderableType | None:
    if not one.counterfactuals or one.places is None:
        return None
    return _lines(what_if(c, one.places.final) for c in one.counterfactuals)


def _lines(said: Iterable[str]) -> Text | None:
    lines = list(said)
    return Text("\n".join(lines)) if lines else None
