"""Long documents: split into overlapping windows, whose scores are combined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, nearest
from secondpass.inference.tokenizer import Tokenizer, Tokens, TokenSequence

_TOP_MEAN = re.compile(r"top-([1-9]\d*)-mean")
_NAMES = ("max", "mean", "first", "top-2-mean")


@dataclass(frozen=True, slots=True)
class PassageAggregation:
    """How a document longer than one window is split, and how its score is aggregated.

    - `aggregate`: "max" (MaxP: the best window), "mean" (MeanP), "first" (FirstP: only the
      first window is read) or "top-N-mean" (the mean of the best N).
    - `overlap`: the share of a window that the next one repeats, 0 to 0.9.
    - `limit`: how many windows of one document are read, at least 1; the text behind them is
      reported as unread.

    Raises `InputError` for other values.
    """

    aggregate: str = "max"
    overlap: float = 0.25
    limit: int = 8

    def __post_init__(self) -> None:
        if not isinstance(self.aggregate, str) or not (
            self.aggregate in _NAMES or _TOP_MEAN.fullmatch(self.aggregate)
        ):
            raise InputError(
                f"Unknown passage aggregation: {self.aggregate!r}",
                fix=nearest(str(self.aggregate), _NAMES),
            )
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"overlap must be from 0 to 0.9, not {self.overlap!r}")
        if self.limit < 1:
            raise InputError(f"limit must be at least 1 window, not {self.limit!r}")

    @property
    def max_windows(self) -> int:
        """How many windows of one document are read at most."""
        return 1 if self.aggregate == "first" else self.limit

    def windows(self, tokens: int, size: int) -> list[tuple[int, int]]:
        """Return [start, end) of each window of `size` tokens over a text of `tokens` tokens.

        An empty text has one empty window. The last window of a text that is read to its end
        is moved back to be full, so that no window is short.
        """
        if tokens <= size:
            return [(0, tokens)]
        stride = max(1, size - int(size * self.overlap))
        spans = [(0, size)]
        while len(spans) < self.max_windows and spans[-1][1] < tokens:
            start = min(spans[-1][0] + stride, tokens - size)
            spans.append((start, start + size))
        return spans

    def combine(self, scores: Sequence[float]) -> float:
        """Return the score of a document from the scores of its windows, at least one."""
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


def parse_aggregation(value: str | PassageAggregation | None) -> PassageAggregation:
    """Return the aggregation that a name stands for; None is the default."""
    if value is None:
        return PassageAggregation()
    return value if isinstance(value, PassageAggregation) else PassageAggregation(value)


MIN_DOCUMENT_TOKENS = 16
"""A window must leave the document at least this many tokens to be worth reading."""

# How many texts are tokenized at once: the tokenizer's output takes far more than token ids.
_TEXTS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class DocumentWindows:
    """The windows of one document, ready for the model.

    `unread` is how many characters are in no window; `spans` are [start, end) of each window in
    the body, in characters.
    """

    sequences: tuple[TokenSequence, ...]
    unread: int
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WindowTokens:
    """The token ids of one document's windows, without query and special tokens.

    `unread` and `spans` are as in `DocumentWindows`.
    """

    ids: tuple[list[int], ...]
    unread: int
    spans: tuple[tuple[int, int], ...]


def window_length(
    max_length: int | None, *, default: int, longest: int, model: str, shortest: int = 0
) -> int:
    """Return the length of a window in tokens for the `max_length` of a call, None for default.

    It is at least `shortest`, where the model reads so much. Raises `InputError` for more than
    `longest`, the input limit of the model.
    """
    if max_length is None:
        return default
    if max_length > longest:
        raise InputError(
            f"max_length is {max_length} and the model reads at most {longest} tokens",
            where=f"model {model}",
        )
    return max(max_length, min(longest, shortest))


def split_documents(
    tokenizer: Tokenizer,
    texts: Sequence[tuple[str, str]],
    *,
    max_tokens: int,
    passages: PassageAggregation,
) -> Iterator[WindowTokens]:
    """Yield the windows of each (head, body), of at most `max_tokens` tokens each.

    The head is repeated in every window. Where head and body do not fit together, a head longer
    than half of `max_tokens` is truncated to that.
    """
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        batch = texts[start : start + _TEXTS_AT_ONCE]
        limit = max_tokens * passages.max_windows + 1
        heads = tokenizer.encode([head for head, _ in batch], limit=max_tokens)
        bodies = tokenizer.encode([body for _, body in batch], limit=limit)
        for head, body in zip(heads, bodies, strict=True):
            head_tokens = len(head.ids)
            if head_tokens > max_tokens // 2 and head_tokens + len(body.ids) > max_tokens:
                head_tokens = max_tokens // 2
            spans = passages.windows(len(body.ids), max_tokens - head_tokens)
            yield WindowTokens(
                tuple([*head.ids[:head_tokens], *body.ids[start:end]] for start, end in spans),
                _unread(head, head_tokens) + _unread(body, spans[-1][1]),
                tuple((_end(body, start), _end(body, end)) for start, end in spans),
            )


def _end(tokens: Tokens, count: int) -> int:
    """Return where the first `count` tokens end, in characters."""
    return tokens.ends[count - 1] if count else 0


def _unread(tokens: Tokens, count: int) -> int:
    """Return how many characters are behind the first `count` tokens."""
    if count >= len(tokens.ids) and (not tokens.ids or tokens.complete):
        return 0
    return tokens.characters - _end(tokens, count)


def build_windows(
    tokenizer: Tokenizer,
    query: str,
    texts: Sequence[tuple[str, str]],
    *,
    max_length: int,
    longest: int,
    passages: PassageAggregation,
) -> list[DocumentWindows]:
    """Return the windows of each (head, body) paired with the query, of `max_length` tokens.

    The query is never truncated. If it leaves too little of `max_length`, windows grow up to
    `longest`, the input limit of the model; a query too long even for that raises `InputError`.
    Where head and body do not fit together, see `split_documents`.
    """
    template = tokenizer.pair
    (query_tokens,) = tokenizer.encode([query], limit=longest)
    fixed = len(query_tokens.ids) + template.special
    length = max(max_length, min(longest, fixed + MIN_DOCUMENT_TOKENS))
    max_tokens = length - fixed
    if max_tokens < MIN_DOCUMENT_TOKENS:
        raise InputError(
            "The query is too long for the model",
            where=f"query {query[:40]!r}…",
            why=f"it has {len(query_tokens.ids)} tokens or more, and the limit is "
            f"{longest - template.special - MIN_DOCUMENT_TOKENS}",
            fix="Shorten the query, or use a model that reads longer texts.",
        )
    return [
        DocumentWindows(
            tuple(template.join(query_tokens.ids, ids) for ids in tokens.ids),
            tokens.unread,
            tokens.spans,
        )
        for tokens in split_documents(
            tokenizer, texts, max_tokens=max_tokens, passages=passages
        )
    ]
