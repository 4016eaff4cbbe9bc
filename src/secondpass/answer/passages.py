"""Passage selection: from ranked results to numbered passages within a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from secondpass.answer.types import Passage
from secondpass.types import RankedDocument

_DUPLICATE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A result's text; `document`, `start` and `end` locate it where they are known."""

    text: str
    ids: tuple[str, ...]
    rank: int
    title: str | None
    probability: float | None
    document: str | None = None
    start: int = 0
    end: int = 0


def select_passages(
    results: Sequence[RankedDocument], *, max_tokens: int, count_tokens: Callable[[str], int]
) -> tuple[Passage, ...]:
    """Return the passages to answer from, numbered from 1 by rank, best first.

    Results are taken in order while they fit into `max_tokens`, titles included; the best
    one is truncated if it does not fit alone. A result with at least 9 of 10 of its words
    in a better one is a duplicate and left out. Chunks of one document (see
    `retrieve.chunking`) that overlap or touch are merged and take the better rank.
    """
    selected: list[_Chunk] = []
    remaining = max_tokens
    for result in results:
        chunk = _chunk(result)
        if chunk is None or any(_is_duplicate(chunk, other) for other in selected):
            continue
        cost = count_tokens(f"{chunk.title or ''} {chunk.text}")
        if cost > remaining:
            if selected:
                continue
            chunk = replace(chunk, text=truncate_to_tokens(chunk.text, remaining, count_tokens))
        remaining -= min(cost, remaining)
        selected.append(chunk)
    merged = sorted(_merge_adjacent(selected), key=lambda c: c.rank)
    return tuple(
        Passage(number, c.text, c.ids, c.rank, c.title, c.probability)
        for number, c in enumerate(merged, start=1)
    )


def truncate_to_tokens(text: str, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """Return the longest prefix of whole words within `max_tokens`, at least one word."""
    words = text.split(" ")
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(" ".join(words[:middle])) <= max_tokens:
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low])


def _chunk(result: RankedDocument) -> _Chunk | None:
    document = result.document
    if document is None or not document.text.strip():
        return None
    chunk = _Chunk(
        document.text,
        () if result.id is None else (result.id,),
        result.rank,
        document.title,
        result.probability,
    )
    origin = document.origin
    # Only a text that is exactly these characters of its document can be merged.
    if origin is None or origin.end - origin.start != len(document.text):
        return chunk
    return replace(chunk, document=origin.document_id, start=origin.start, end=origin.end)


def _is_duplicate(chunk: _Chunk, other: _Chunk) -> bool:
    if chunk.text == other.text:
        return True
    if chunk.document is not None and chunk.document == other.document:
        return False  # chunks of one document are merged
    words, other_words = (set(c.text.lower().split()) for c in (chunk, other))
    return len(words & other_words) >= _DUPLICATE_SHARE * len(words) and len(words) > 0


def _merge_adjacent(chunks: Sequence[_Chunk]) -> list[_Chunk]:
    merged: list[_Chunk] = []
    for chunk in sorted(chunks, key=lambda c: (c.document or "", c.start, c.rank)):
        last = merged[-1] if merged else None
        adjacent = (
            last is not None
            and chunk.document is not None
            and last.document == chunk.document
            and chunk.start <= last.end + 1
        )
        if last is None or not adjacent:
            merged.append(chunk)
            continue
        text = last.text
        if chunk.end > last.end:
            gap = " " * max(0, chunk.start - last.end)
            text += gap + chunk.text[max(0, last.end - chunk.start) :]
        probabilities = [p for p in (last.probability, chunk.probability) if p is not None]
        merged[-1] = replace(
            last,
            text=text,
            ids=(*last.ids, *chunk.ids),
            rank=min(last.rank, chunk.rank),
            probability=max(probabilities, default=None),
            end=max(last.end, chunk.end),
        )
    return merged
