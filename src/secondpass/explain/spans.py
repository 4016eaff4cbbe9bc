"""Where a text's sentences and words are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

Place = tuple[int, int]

_BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？])|\n+")  # noqa: RUF001 - CJK ends
_WORD = re.compile(r"\S+")


def sentences(text: str, most: int) -> list[Place]:
    """Return [start, end) of each sentence or line, at most `most`; short ones are joined.

    White space around them belongs to none.
    """
    edges = [0, *(m.end() for m in _BREAK.finditer(text)), len(text)]
    found = [_trimmed(text, start, end) for start, end in pairwise(edges)]
    return joined([place for place in found if place[0] < place[1]], most)


def words(text: str, place: Place, most: int) -> list[Place]:
    """Return [start, end) of each word within a place, at most `most`, else joined."""
    found = [(m.start(), m.end()) for m in _WORD.finditer(text, *place)]
    return joined(found, most)


def joined(places: Sequence[Place], most: int) -> list[Place]:
    """Return the places in at most `most` runs of neighbours, about equally many in each."""
    if len(places) <= most:
        return list(places)
    edges = [i * len(places) // most for i in range(most + 1)]
    pairs = pairwise(edges)
    return [(places[start][0], places[end - 1][1]) for start, end in pairs]


def without(text: str, places: Sequence[Place]) -> str:
    """Return the text without some places, which do not overlap."""
    kept, position = [], 0
    for start, end in sorted(places):
        kept.append(text[position:start])
        position = end
    return "".join([*kept, text[position:]])


def _trimmed(text: str, start: int, end: int) -> Place:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    return start + lead, max(start + lead, start + len(piece.rstrip()))
