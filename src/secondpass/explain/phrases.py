"""An explanation in words, for the terminal and the page alike.

A text cut into pieces with how much each adds, for colouring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from secondpass.explain.types import Counterfactual, Explanation, Faithfulness, Places, Span


def headline(one: Explanation) -> str:
    """Return in one sentence where the document stands, and which stage moved it most."""
    places = one.places
    if places is None:
        return f"{one.model} scores it {one.score:.2f}{_chance(one)}."
    here = f"{ordinal(places.final)} of {places.candidates}{_chance(one)}"
    if not one.found:
        return (
            f"The first pass did not hand it over. Had it, it would stand {here}: "
            f"{moved(places)}."
        )
    return f"It stands {here}: {moved(places)}."


def moved(places: Places) -> str:
    """Return by which stage a document moved."""
    alone = f"{ordinal(places.reranker)} by the reranker alone"
    if places.first is None:
        return alone
    change = places.first - places.final
    if change == 0:
        return f"where the first pass had put it, {alone}"
    verb = "lifted" if change > 0 else "lowered"
    return f"{verb} from {ordinal(places.first)} of the first pass, {alone}"


def trust(found: Faithfulness) -> str:
    """Return whether the spans that are said to matter really do."""
    share = f"{found.removed} of {found.words} words"
    verdict = "the contributions hold" if found.holds else "do not rely on the contributions"
    return (
        f"Without the top spans ({share}) the score falls by {found.drop:.2f}, without random "
        f"others of the same size by {found.random:.2f} on average ({found.random_low:.2f} to "
        f"{found.random_high:.2f}): {verdict}."
    )


def what_if(one: Counterfactual, before: int) -> str:
    """Return where the document would stand after a change."""
    if one.rank == before:
        return f"would still be {ordinal(one.rank)} {one.change}"
    return f"would be {ordinal(one.rank)} {one.change}"


def ordinal(rank: int) -> str:
    """Return a rank as people say it: 1st, 2nd, 11th."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{rank}{'th' if rank % 100 in (11, 12, 13) else ends.get(rank % 10, 'th')}"


def _chance(one: Explanation) -> str:
    return "" if one.probability is None else f", with a probability of {one.probability:.2f}"


class HighlightedSpan(NamedTuple):
    """A piece of a text; `strength` is -1 (takes most away) to 1 (adds most)."""

    text: str
    strength: float


def shades(text: str, where: str, spans: Sequence[Span]) -> list[HighlightedSpan]:
    """Return the whole text in pieces: words where they are known, else sentences.

    Words and sentences have scales of their own: a sentence adds more than any of its words.
    """
    here = [s for s in spans if s.where == where]
    fine = [s for s in here if s.level == "word"]
    covered = [(s.start, s.end) for s in fine]
    coarse = [
        s
        for s in here
        if s.level == "sentence" and not any(s.start <= a and b <= s.end for a, b in covered)
    ]
    found, position = [], 0
    for span in sorted([*fine, *coarse], key=lambda s: s.start):
        if span.start > position:
            found.append(HighlightedSpan(text[position : span.start], 0.0))
        largest = max(abs(s.contribution) for s in spans if s.level == span.level)
        strength = span.contribution / largest if largest > 0 else 0.0
        found.append(HighlightedSpan(text[span.start : span.end], strength))
        position = span.end
    if position < len(text):
        found.append(HighlightedSpan(text[position:], 0.0))
    return found
