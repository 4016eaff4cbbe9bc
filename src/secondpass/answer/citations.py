"""Citations, checked while an answer streams.

The rule. A citation is a number, or numbers with commas, in square brackets. A number that
is no passage's is taken out of the answer and reported as removed; brackets that are left
empty go with it. The others stay, and each is marked as supported if at least half of the
longer words (four letters or more) and every number of the sentence before it stand in its
passage. A sentence without any of both supports nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from secondpass.answer.extractive import sentences
from secondpass.answer.types import Citation, Passage

_CITATION = re.compile(r"[ \t]?\[\s*\d{1,6}(?:\s*,\s*\d{1,6})*\s*\]")
_OPENED = re.compile(r"[ \t]?\[[\s\d,]{0,40}\Z|[ \t]\Z")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]{4,}")


class CitationFilter:
    """Takes an answer in pieces and lets through all but numbers that are no passage's."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._known = frozenset(numbers)
        self._held = ""
        self.removed: list[int] = []

    def feed(self, some: str) -> str:
        """Return what can be shown now; the beginning of a citation waits for its end."""
        text = _CITATION.sub(self._checked, self._held + some)
        opened = _OPENED.search(text)
        cut = len(text) if opened is None else opened.start()
        self._held = text[cut:]
        return text[:cut]

    def end(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return held

    def _checked(self, found: re.Match[str]) -> str:
        numbers = [int(n) for n in re.findall(r"\d+", found[0])]
        kept = [n for n in numbers if n in self._known]
        self.removed += [n for n in numbers if n not in self._known]
        blank = found[0][0] if found[0][0] != "[" else ""
        return f"{blank}[{', '.join(map(str, kept))}]" if kept else ""


def citations(text: str, passages: Sequence[Passage]) -> Iterator[Citation]:
    """Yield the citations of a whole answer, in order."""
    known: Mapping[int, Passage] = {p.number: p for p in passages}
    spans = list(sentences(text))
    for found in _CITATION.finditer(text):
        # A citation after the full stop belongs to the sentence that has just ended.
        before = [text[a:b] for a, b in spans if a < found.start()]
        said = _CITATION.sub("", before[-1] if before else "")
        if not any(c.isalnum() for c in said) and len(before) > 1:
            said = _CITATION.sub("", before[-2])
        for number in map(int, re.findall(r"\d+", found[0])):
            if number in known:
                passage = known[number]
                start = found.start() + (found[0][0] != "[")
                yield Citation(number, start, passage, supports(passage, said))


def supports(passage: Passage, sentence: str) -> bool:
    """Return whether the words and numbers of a sentence stand in a passage."""
    read = f"{passage.title or ''} {passage.text}".lower()
    said = sentence.lower()
    words, numbers = set(_WORD.findall(said)), set(_NUMBER.findall(said))
    if not words and not numbers:
        return False
    if not numbers <= set(_NUMBER.findall(read)):
        return False
    return 2 * len(words & set(_WORD.findall(read))) >= len(words)
