"""A text cut into pieces with how much each adds, for colouring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from secondpass.explain.types import Span


class Shade(NamedTuple):
    """A piece of a text; `strength` is -1 (takes most away) to 1 (adds most)."""

    text: str
    strength: float


def shades(text: str, where: str, spans: Sequence[Span]) -> list[Shade]:
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
            found.append(Shade(text[position : span.start], 0.0))
        largest = max(abs(s.contribution) for s in spans if s.level == span.level)
        strength = span.contribution / largest if largest > 0 else 0.0
        found.append(Shade(text[span.start : span.end], strength))
        position = span.end
    if position < len(text):
        found.append(Shade(text[position:], 0.0))
    return found
