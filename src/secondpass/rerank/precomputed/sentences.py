"""Scores of sentences from the stored states of their tokens, without another encoding."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.inference.types import Runtime
from secondpass.inference.unicode import clean
from secondpass.rerank.precomputed.records import WINDOWS_AT_ONCE
from secondpass.rerank.precomputed.scoring import EncodedQuery, score_records
from secondpass.rerank.precomputed.types import Record
from secondpass.rerank.spans import Sentences
from secondpass.rerank.windowing import DocumentTokens


@dataclass(frozen=True, slots=True)
class SentenceSlice:
    """The tokens of a sentence in a record: `start` and `end` of those in the window `key`."""

    key: bytes
    start: int
    end: int

    def cut(self, record: Record) -> Record:
        """Return the record of these tokens and the special ones at the record's ends.

        The embedding is the whole window's, so that all sentences of a window share it.
        """
        kept = np.array([0, *range(self.start, self.end), record.tokens - 1])
        return Record(record.codes[kept], record.scales[kept], record.embedding)


def slice_sentences(
    text: str,
    sentences: Sentences,
    tokens: DocumentTokens,
    keys: Sequence[bytes],
    read: Sequence[bytes],
) -> Iterator[SentenceSlice | None]:
    """Yield where the tokens of each sentence are, None where no window that is read has any.

    - `text`: the body; `keys`: of all windows of `tokens`, in their order; `read`: of the
      windows that are read.

    A sentence is taken from the window that has most of its tokens; of several, from the one in
    which it is furthest from the ends, and so has most context. One special token is in front.
    """
    chosen = set(read)
    windows = [
        (key, start, end)
        for key, (start, end) in zip(keys, tokens.ranges, strict=True)
        if key in chosen
    ]
    for first, last in _token_ranges(text, sentences, tokens.body.ends):
        best: tuple[tuple[int, int], SentenceSlice] | None = None
        for key, start, end in windows:
            a, b = max(first, start), min(last, end)
            if a >= b:
                continue
            quality = (b - a, min(a - start, end - b))
            if best is None or quality > best[0]:
                offset = 1 + len(tokens.head) - start
                best = quality, SentenceSlice(key, a + offset, b + offset)
        yield None if best is None else best[1]


def score_slices(
    graph: Runtime,
    query: EncodedQuery,
    slices: Sequence[SentenceSlice | None],
    get_records: Callable[[Sequence[bytes]], Mapping[bytes, Record]],
    *,
    longest: int,
) -> list[float | None]:
    """Return the graph's score of each slice, None for None.

    `get_records` is called for at most `WINDOWS_AT_ONCE` windows at a time.
    """
    logits: list[float | None] = [None] * len(slices)
    positions: dict[bytes, list[tuple[int, SentenceSlice]]] = {}
    for position, one in enumerate(slices):
        if one is not None:
            positions.setdefault(one.key, []).append((position, one))
    keys = list(positions)
    for first in range(0, len(keys), WINDOWS_AT_ONCE):
        some = keys[first : first + WINDOWS_AT_ONCE]
        records = get_records(some)
        placed = [(i, one.cut(records[key])) for key in some for i, one in positions[key]]
        values = score_records(graph, query, [record for _, record in placed], longest=longest)
        for (i, _), value in zip(placed, values.tolist(), strict=True):
            logits[i] = value
    return logits


def _token_ranges(
    text: str, sentences: Sentences, ends: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield [first, last) of the tokens that end in each sentence."""
    # Tokens are those of the cleaned text, in which a surrogate pair is one character.
    shortened = len(clean(text)) != len(text)
    for start, end in sentences:
        if shortened:
            start, end = len(clean(text[:start])), len(clean(text[:end]))
        yield bisect_right(ends, start), bisect_right(ends, end)
