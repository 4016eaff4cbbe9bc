"""Pairs of query and document as token windows that fit the model; the query stays whole."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.errors import InputError
from secondpass.inference.tokenizer import Tokeniser
from secondpass.rerank.rerank_windows import LEAST_DOCUMENT, Windows, pieces
from secondpass.rerank.windowing import Passages


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

    The query is never cut. Where head and body do not fit together, a head longer than
    half of what is left is cut there. If the query leaves too little of `max_length`,
    windows grow up to `longest`, what the model can read; a query too long even for that
    raises `InputError`.
    """
    template = tokeniser.pair
    (question,) = tokeniser.encode([query], limit=longest)
    fixed = len(question.ids) + template.special
    length = max(max_length, min(longest, fixed + LEAST_DOCUMENT))
    room = length - fixed
    if room < LEAST_DOCUMENT:
        raise InputError(
            "The query is too long for the model",
            where=f"query {query[:40]!r}…",
            why=f"it has {len(question.ids)} tokens or more and may have at most "
            f"{longest - template.special - LEAST_DOCUMENT}",
            fix="Shorten the query, or use a model that reads longer texts.",
        )
    return [
        Windows(
            tuple(template.join(question.ids, ids) for ids in piece.ids),
            piece.unread,
            piece.spans,
        )
        for piece in pieces(tokeniser, texts, room=room, passages=passages)
    ]
