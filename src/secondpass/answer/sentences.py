"""Texts cut into sentences, by rules that need no model."""

from __future__ import annotations

import re
from collections.abc import Iterator

# After an end mark and a blank, or a line break; CJK marks need no blank.
_END = re.compile(
    "(?<=[.!?\u2026])[\"'\u201d\u2019)\\]]*\\s+(?=[\"'\u201c\u2018(\\[]?[^\\Wa-z_])"
    "|(?<=[\u3002\uff01\uff1f])|\\n+"
)
_SHORT = re.compile(
    r"(?:\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|vs|etc|e\.g|i\.e|cf|al|No|Fig|approx|c|ca)\.)$"
)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of each sentence that holds a letter or a digit, in order."""
    start = 0
    for found in _END.finditer(text):
        if "\n" not in found[0] and _SHORT.search(text[start : found.start()]):
            continue
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    inside = text[start:end]
    if any(c.isalnum() for c in inside):
        yield (
            start + len(inside) - len(inside.lstrip()),
            end - len(inside) + len(inside.rstrip()),
        )
