"""Citations: checked while an answer streams.

A citation is a number, or numbers with commas, in square brackets. A number that belongs
to no passage is taken out of the answer and reported as removed, with brackets that are
left empty. The others stay. Each is marked as supported if at least half of the longer
words (four letters or more) and every number of the sentence before it occur in its
passage. A sentence without such words and numbers is not supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from secondpass.answer.types import Citation, Passage
from secondpass.sentences import split_sentences

# Models also write [1,] and [,1].
_CITATION = re.compile(r"[ \t]?\[(?=[\s,]{0,40}\d)[\s\d,]{1,40}\]")
_PARTIAL_CITATION = re.compile(r"[ \t]?\[[\s\d,]{0,40}\Z|[ \t]\Z")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]{4,}")


class CitationFilter:
    """A stream filter that removes numbers which belong to no passage."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._known = frozenset(numbers)
        self._buffer = ""
        self.removed: list[int] = []

    def feed(self, piece: str) -> str:
        """Return the text that can be shown now; an unfinished citation is held back."""
        text = _CITATION.sub(self._filter_numbers, self._buffer + piece)
        partial = _PARTIAL_CITATION.search(text)
        cut = len(text) if partial is None else partial.start()
        self._buffer = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """Return the text that was held back."""
        text, self._buffer = self._buffer, ""
        return text

    def _filter_numbers(self, match: re.Match[str]) -> str:
        numbers = [int(n) for n in re.findall(r"\d+", match[0])]
        known = [n for n in numbers if n in self._known]
        self.removed += [n for n in numbers if n not in self._known]
        space = match[0][0] if match[0][0] != "[" else ""
        return f"{space}[{', '.join(map(str, known))}]" if known else ""


def find_citations(text: str, passages: Sequence[Passage]) -> Iterator[Citation]:
    """Yield the citations of a whole answer, in order.

    Each belongs to the sentence that it ends or follows, which decides whether it is
    supported.
    """
    passage_by_number: Mapping[int, Passage] = {p.number: p for p in passages}
    sentences = split_sentences(text)
    for match in _CITATION.finditer(text):
        before = [text[start:end] for start, end in sentences if start < match.start()]
        sentence = _CITATION.sub("", before[-1] if before else "")
        # A citation after the full stop belongs to the sentence that has just ended.
        if not any(c.isalnum() for c in sentence) and len(before) > 1:
            sentence = _CITATION.sub("", before[-2])
        for number in map(int, re.findall(r"\d+", match[0])):
            if number in passage_by_number:
                passage = passage_by_number[number]
                start = match.start() + (match[0][0] != "[")
                yield Citation(number, start, passage, supports(passage, sentence))


def supports(passage: Passage, sentence: str) -> bool:
    """Return whether the words and numbers of a sentence occur in a passage."""
    source = f"{passage.title or ''} {passage.text}".lower()
    claim = sentence.lower()
    words, numbers = set(_WORD.findall(claim)), set(_NUMBER.findall(claim))
    if not words and not numbers:
        return False
    if not numbers <= set(_NUMBER.findall(source)):
        return False
    return 2 * len(words & set(_WORD.findall(source))) >= len(words)
