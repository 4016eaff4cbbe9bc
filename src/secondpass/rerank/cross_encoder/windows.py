"""Pairs of query and document as token windows that fit the model; the query stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.engine.tokenise import Tokeniser, Tokens, TokenSequence
from secondpass.errors import InputError
from secondpass.rerank.passages import Passages

# A window must leave the document at least this many tokens to be worth reading.
_LEAST_DOCUMENT = 16


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one document, and how many characters of it are in none of them."""

    sequences: tuple[TokenSequence, ...]
    unread: int


def windows(
    tokeniser: Tokeniser,
    query: str,
    texts: Sequence[tuple[str, str]],
    *,
    max_length: int,
    longest: int,
    passages: Passages,
) -> list[Windows]:
    """Return the windows of each (head, body), of at most `max_length` tokens each.

    The query is never cut. A head longer than half of what is left is cut there. If the
    query leaves too little of `max_length`, windows grow up to `longest`, what the model
    can read; a query too long even for that raises `InputError`.
    """
    template = tokeniser.pair
    (question,) = tokeniser.encode([query], limit=longest)
    fixed = len(question.ids) + template.special
    length = max(max_length, min(longest, fixed + _LEAST_DOCUMENT))
    room = length - fixed
    if room < _LEAST_DOCUMENT:
        raise InputError(
            "The query is too long for the model",
            where=f"query {query[:40]!r}…",
            why=f"it has {len(question.ids)} tokens or more and may have at most "
            f"{longest - template.special - _LEAST_DOCUMENT}",
            fix="Shorten the query, or use a model that reads longer texts.",
        )
    heads = tokeniser.encode([head for head, _ in texts], limit=room)
    bodies = tokeniser.encode([body for _, body in texts], limit=room * passages.most + 1)
    found = []
    for head, body in zip(heads, bodies, strict=True):
        kept = len(head.ids) if len(head.ids) <= room // 2 else room // 2
        spans = passages.windows(len(body.ids), room - kept)
        sequences = tuple(
            template.join(question.ids, [*head.ids[:kept], *body.ids[start:end]])
            for start, end in spans
        )
        found.append(Windows(sequences, _unread(head, kept) + _unread(body, spans[-1][1])))
    return found


def _unread(tokens: Tokens, read: int) -> int:
    if read >= len(tokens.ids) and (not tokens.ids or tokens.complete):
        return 0
    return tokens.characters - (tokens.ends[read - 1] if read else 0)
