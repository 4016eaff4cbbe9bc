"""Long queries: cut in the middle, so that both ends are read."""

from __future__ import annotations

import threading
from functools import cache
from typing import NamedTuple

from secondpass.inference.tokenizer import CHARACTERS_PER_TOKEN, Tokenizer
from secondpass.inference.unicode import clean
from secondpass.models import bundled_path

QUERY_TOKENS = 128
"""The tokens of a query that a local model reads; docs/explanation/long-texts.md has why."""

_shared_lock = threading.Lock()


class QueryCut(NamedTuple):
    """The part of a query that is read, and how many of its characters are not."""

    text: str
    unread: int


def cut_query(tokenizer: Tokenizer, query: str, limit: int) -> QueryCut:
    """Return a query of at most `limit` tokens, at least 1: its beginning and its end.

    Of a longer one the middle is left out: half of the tokens are from the beginning, and one
    more where `limit` is odd. Cutting the result again changes nothing. Of a query of megabytes
    only the two ends are tokenized.
    """
    query = clean(query)
    reach = limit * CHARACTERS_PER_TOKEN
    # One more, because the two ends are joined by a space.
    whole = len(query) <= 2 * reach + 1
    if whole and tokenizer.count(query) <= limit:
        return QueryCut(query, 0)
    beginning, ending = (query, query) if whole else (query[:reach], query[-reach:])
    head, tail = tokenizer.encode([beginning, ending], limit=len(query) + 1)
    text, kept = "", 0
    for count in range(limit, 0, -1):
        from_end = min(count // 2, len(tail.ids))
        first = beginning[: head.ends_at(min(count - count // 2, len(head.ids)))]
        last = ending[tail.ends_at(len(tail.ids) - from_end) :] if from_end else ""
        text, kept = f"{first} {last.strip()}".strip(), len(first) + len(last)
        # The parts of a word that was cut in two may have more tokens than they had in it.
        if tokenizer.count(text) <= limit:
            break
    return QueryCut(text, len(query) - kept)


def cut_model_query(
    tokenizer: Tokenizer, query: str, max_tokens: int | None, limit: int
) -> QueryCut:
    """Return what a model reads of a query whose input limit for queries is `limit` tokens.

    `max_tokens` is the limit of the caller, None for `QUERY_TOKENS`.
    """
    return cut_query(
        tokenizer, query, min(limit, QUERY_TOKENS if max_tokens is None else max_tokens)
    )


def shared_tokenizer() -> Tokenizer:
    """Return the bundled embedder's tokenizer, for models whose own is not known."""
    with _shared_lock:
        return _load_shared()


@cache
def _load_shared() -> Tokenizer:
    return Tokenizer(bundled_path("bundled-embedder") / "tokenizer.json")
