"""Chunking: documents split into passages that fit the embedder."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.retrieve.store_protocol import Passage
from secondpass.types import Document

TokenCounter = Callable[[str], int]

CHUNK_TOKENS = 256
"""The default: the input limit of all-MiniLM-L6-v2, title and special tokens included."""

OVERLAP = 32

_SPECIAL_TOKENS = 2
_MIN_TOKENS = 8
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a text: `text` is exactly the characters from `start` to `end`."""

    text: str
    start: int
    end: int


def split_text(text: str, tokens: int, count: TokenCounter, *, overlap: int = 0) -> list[Chunk]:
    """Split a text into chunks of at most `tokens` tokens, at the best breaks there are.

    Everything but white space is in some chunk, in order; neighbors share up to `overlap`
    tokens. A text of white space has no chunks. Raises MissingExtraError without the package
    semchunk (only for a text that must be split).
    """
    if not text or text.isspace():
        return []
    if _fits(text, tokens, count):
        return [Chunk(text, 0, len(text))]
    try:
        semchunk: Any = import_module("semchunk")
    except ImportError as error:
        raise MissingExtraError(
            "chunking documents", package="semchunk", extra="index"
        ) from error
    # Not memoized: its cache is unbounded and would hold the whole corpus.
    chunker = semchunk.chunkerify(count, max(1, tokens - overlap), memoize=False)
    _, offsets = chunker(text, offsets=True)
    # semchunk's own overlap splits everything into pieces of that length first, which makes
    # chunks a third shorter; extending each chunk backward by words keeps the good breaks.
    starts = [_extend_back(text, start, overlap, count) for start, _ in offsets]
    return [
        Chunk(text[start:end], start, end)
        for start, (_, end) in zip(starts, offsets, strict=True)
    ]


def _extend_back(text: str, start: int, overlap: int, count: TokenCounter) -> int:
    if not overlap or not start:
        return start
    floor = max(0, start - 16 * overlap)
    words = [floor + m.start() for m in _WORD.finditer(text[floor:start])]
    if floor and words and words[0] == floor and not text[floor - 1].isspace():
        del words[0]
    fitting = bisect_left(words, True, key=lambda w: count(text[w:start]) <= overlap)
    return words[fitting] if fitting < len(words) else start


def split_document(
    document: Document,
    doc_id: str,
    count: TokenCounter,
    *,
    chunk_tokens: int | None = CHUNK_TOKENS,
    overlap: int = OVERLAP,
) -> Iterator[Passage]:
    """Yield the passages of a document: one with its own id, or several, `id#1`, `id#2`, ….

    `chunk_tokens` limits what the embedder reads of a passage: its title, its text and two
    special tokens; a long title still leaves the text half of it. None keeps the document
    whole. Passages are numbered from 1, or 0 if there is one. A document without title and
    text has no passages.
    """
    text = clean(document.text)
    title = None if document.title is None or not document.title.strip() else document.title
    whole = Passage(doc_id, text, title=title, metadata=document.metadata, end=len(text))
    if not text.strip():
        if title is not None:
            yield whole
        return
    if chunk_tokens is None:
        yield whole
        return
    used = _SPECIAL_TOKENS if title is None else _SPECIAL_TOKENS + count(title)
    room = max(chunk_tokens - used, chunk_tokens // 2, _MIN_TOKENS)
    if _fits(text, room, count):
        yield whole
        return
    chunks = split_text(text, room, count, overlap=min(overlap, room // 2))
    for number, chunk in enumerate(chunks, 1):
        yield replace(
            whole,
            text=chunk.text,
            chunk=number,
            start=chunk.start,
            end=chunk.end,
        )


def check_chunking(chunk_tokens: int | None, overlap: int) -> None:
    """Raise InputError for a chunk length or an overlap that cannot work."""
    if chunk_tokens is not None and chunk_tokens < 8:
        raise InputError(
            "chunk_tokens is too small",
            why=f"it is {chunk_tokens}",
            fix="Give at least 8, or None to keep documents whole.",
        )
    if overlap < 0 or (chunk_tokens is not None and overlap > chunk_tokens // 2):
        raise InputError(
            "the overlap cannot be used",
            why=f"it is {overlap} with chunks of {chunk_tokens} tokens",
            fix="Give a number from 0 to half of chunk_tokens.",
        )


def approximate_tokens(text: str) -> int:
    """Estimate how many tokens a text has, for want of a tokenizer."""
    return max(len(text.split()) * 4 // 3, len(text) // 5)


def _fits(text: str, tokens: int, count: TokenCounter) -> bool:
    # A token is seldom over 30 characters: a 10 MB text need not be tokenized to know.
    return len(text) <= 64 * tokens and count(text) <= tokens
