"""Long documents: cut into overlapping windows, scored one by one, put together again.

Head and body of a document as pieces that fit a window.

Pairs of query and document as token windows that fit the model; the query stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, nearest
from secondpass.inference.tokenizer import Tokenizer, Tokens, TokenSequence

_TOP_MEAN = re.compile(r"top-([1-9]\d*)-mean")
_KNOWN = ("max", "mean", "first", "top-2-mean")


@dataclass(frozen=True, slots=True)
class PassageAggregation:
    """How a document longer than one window is read.

    - `aggregate`: "max" (the best window), "mean", "first" (only the first window is
      read) or "top-N-mean" (the mean of the best N).
    - `overlap`: the share of a window that the next one repeats, 0 to 0.9.
    - `limit`: the most windows read of one document, at least 1; what lies behind them
      is reported as unread.

    Raises `InputError` for anything else.
    """

    aggregate: str = "max"
    overlap: float = 0.25
    limit: int = 8

    def __post_init__(self) -> None:
        if not isinstance(self.aggregate, str) or not (
            self.aggregate in _KNOWN or _TOP_MEAN.fullmatch(self.aggregate)
        ):
            raise InputError(
                f"Unknown way to aggregate passages: {self.aggregate!r}",
                fix=nearest(str(self.aggregate), _KNOWN),
            )
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"overlap must be from 0 to 0.9, not {self.overlap!r}")
        if self.limit < 1:
            raise InputError(f"limit must be at least 1 window, not {self.limit!r}")

    @property
    def most(self) -> int:
        """The most windows that will be read of one document."""
        return 1 if self.aggregate == "first" else self.limit

    def windows(self, tokens: int, size: int) -> list[tuple[int, int]]:
        """Return [start, end) of each window of `size` over a text of `tokens` tokens.

        An empty text has one empty window. The last window of a text that is read to its
        end is moved back to be full, so that no window is a mere scrap.
        """
        if tokens <= size:
            return [(0, tokens)]
        stride = max(1, size - int(size * self.overlap))
        spans = [(0, size)]
        while len(spans) < self.most and spans[-1][1] < tokens:
            start = min(spans[-1][0] + stride, tokens - size)
            spans.append((start, start + size))
        return spans

    def combine(self, scores: Sequence[float]) -> float:
        """Return one score for a document from the scores of its windows, at least one."""
        if self.aggregate == "max":
            return max(scores)
        if self.aggregate == "mean":
            return sum(scores) / len(scores)
        if self.aggregate == "first":
            return scores[0]
        match = _TOP_MEAN.fullmatch(self.aggregate)
        assert match is not None  # held by __post_init__
        best = sorted(scores, reverse=True)[: int(match[1])]
        return sum(best) / len(best)


def parse_passages(value: str | PassageAggregation | None) -> PassageAggregation:
    """Return `value` as `PassageAggregation`; a string names the aggregate, None is the default."""
    if value is None:
        return PassageAggregation()
    return value if isinstance(value, PassageAggregation) else PassageAggregation(value)


LEAST_DOCUMENT = 16
"""A window must leave the document at least this many tokens to be worth reading."""

# So many texts are tokenised at once: what a tokenizer says of a token is far more than its id.
_TEXTS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one document, and how many characters of it are in none of them.

    `spans` says where each stands in the body, in characters.
    """

    sequences: tuple[TokenSequence, ...]
    unread: int
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WindowPieces:
    """The token ids of one document's windows, and how many characters are in none.

    `spans` says where each stands in the body, in characters.
    """

    ids: tuple[list[int], ...]
    unread: int
    spans: tuple[tuple[int, int], ...]


def pieces(
    tokeniser: Tokenizer,
    texts: Sequence[tuple[str, str]],
    *,
    room: int,
    passages: PassageAggregation,
) -> Iterator[WindowPieces]:
    """Yield the pieces of each (head, body), of at most `room` tokens each.

    The head stands on every piece. Where head and body do not fit together, a head longer
    than half of the room is cut there.
    """
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[start : start + _TEXTS_AT_ONCE]
        heads = tokeniser.encode([head for head, _ in some], limit=room)
        bodies = tokeniser.encode([body for _, body in some], limit=room * passages.most + 1)
        for head, body in zip(heads, bodies, strict=True):
            kept = len(head.ids)
            if kept > room // 2 and kept + len(body.ids) > room:
                kept = room // 2
            spans = passages.windows(len(body.ids), room - kept)
            yield WindowPieces(
                tuple([*head.ids[:kept], *body.ids[start:end]] for start, end in spans),
                _unread(head, kept) + _unread(body, spans[-1][1]),
                tuple((_end(body, start), _end(body, end)) for start, end in spans),
            )


def _end(tokens: Tokens, count: int) -> int:
    """Return where the first `count` tokens end, in characters."""
    return tokens.ends[count - 1] if count else 0


def _unread(tokens: Tokens, read: int) -> int:
    if read >= len(tokens.ids) and (not tokens.ids or tokens.complete):
        return 0
    return tokens.characters - _end(tokens, read)


def windows(
    tokeniser: Tokenizer,
    query: str,
    texts: Sequence[tuple[str, str]],
    *,
    max_length: int,
    longest: int,
    passages: PassageAggregation,
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
