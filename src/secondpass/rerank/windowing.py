"""Long documents: split into overlapping windows, whose scores are combined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, nearest
from secondpass.inference.tokenizer import (
    CHARACTERS_PER_TOKEN,
    Tokenizer,
    Tokens,
    TokenSequence,
)
from secondpass.rerank.window_choice import count_gaps, rank_windows

_TOP_MEAN = re.compile(r"top-([1-9]\d*)-mean")
_NAMES = ("max", "mean", "first", "top-2-mean")

# A text of more windows than _LONG is read in finer windows too, if those are not too short;
# docs/explanation/long-texts.md has what that is worth.
_LONG = 4
_FINE_WINDOWS = 2
_SHORTEST_HALF = 64


@dataclass(frozen=True, slots=True)
class PassageAggregation:
    """How a document longer than one window is split, and how its score is aggregated.

    - `aggregate`: "max" (MaxP: the best window), "mean" (MeanP), "first" (FirstP: only the
      first window is read) or "top-N-mean" (the mean of the best N).
    - `overlap`: the share of a window that the next one repeats, 0 to 0.9.
    - `limit`: how many windows of one document, from its beginning, are read at most, at least
      1; None for no limit but that of the call (`max_tokens_per_doc`, `budget_tokens`).

    Of a document of more than four windows, "max" without a limit also reads windows of half
    the size where the query's words are, because a single sentence counts for more in them.

    Raises `InputError` for other values.
    """

    aggregate: str = "max"
    overlap: float = 0.25
    limit: int | None = None

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
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit must be at least 1 window, not {self.limit!r}")

    @property
    def max_windows(self) -> int | None:
        """How many windows of one document are read at most, None for no limit."""
        return 1 if self.aggregate == "first" else self.limit

    def fine_windows(self, tokens: int, size: int) -> list[tuple[int, int]]:
        """Return the windows of half the size of a long text; none where they are not read."""
        half = size // 2
        is_long = tokens > _LONG * size and half >= _SHORTEST_HALF
        if self.aggregate != "max" or self.limit is not None or not is_long:
            return []
        return self.windows(tokens, half)

    def windows(self, tokens: int, size: int) -> list[tuple[int, int]]:
        """Return [start, end) of each window of `size` tokens over a text of `tokens` tokens.

        An empty text has one empty window. The last window of a text that is read to its end
        is moved back to be full, so that no window is short.
        """
        if tokens <= size:
            return [(0, tokens)]
        stride = max(1, size - int(size * self.overlap))
        spans = [(0, size)]
        limit = self.max_windows
        while spans[-1][1] < tokens and (limit is None or len(spans) < limit):
            start = min(spans[-1][0] + stride, tokens - size)
            spans.append((start, start + size))
        return spans

    def count_windows(self, tokens: int, size: int) -> int:
        """Return how many windows `windows` returns, without making them."""
        if tokens <= size:
            return 1
        stride = max(1, size - int(size * self.overlap))
        count = 1 - (size - tokens) // stride
        return count if self.max_windows is None else min(count, self.max_windows)

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

# How much is tokenized at once: the tokenizer's output takes far more than token ids.
_TEXTS_AT_ONCE = 128
_CHARACTERS_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True)
class DocumentWindows:
    """The windows of one document, ready for the model.

    `unread` is how many characters are in no window; `spans` are [start, end) of each window in
    the body, in characters; `size` is how many tokens of the body a window has. From position
    `coarse` on, windows have half of that (`PassageAggregation.fine_windows`).
    """

    sequences: tuple[TokenSequence, ...]
    unread: int
    spans: tuple[tuple[int, int], ...]
    size: int
    coarse: int


@dataclass(frozen=True, slots=True)
class WindowTokens:
    """The token ids of one document's windows, without query and special tokens.

    `unread`, `spans`, `size` and `coarse` are as in `DocumentWindows`.
    """

    ids: tuple[list[int], ...]
    unread: int
    spans: tuple[tuple[int, int], ...]
    size: int
    coarse: int

    def choose(
        self, query: str, body: str, *, passages: PassageAggregation, tokens: int
    ) -> WindowTokens:
        """Return the windows that are read where `tokens` of the document may be."""
        count = passages.count_windows(tokens, self.size)
        chosen = windows_to_read(query, body, self.spans, coarse=self.coarse, count=count)
        if len(chosen) == len(self.ids):
            return self
        return WindowTokens(
            tuple(self.ids[i] for i in chosen),
            self.unread + count_gaps(self.spans, chosen),
            tuple(self.spans[i] for i in chosen),
            self.size,
            sum(i < self.coarse for i in chosen),
        )

    def shift(self, lead: int) -> WindowTokens:
        """Return the windows with places in the body without its first `lead` characters."""
        spans = tuple((max(0, start - lead), max(0, end - lead)) for start, end in self.spans)
        return WindowTokens(self.ids, self.unread, spans, self.size, self.coarse)


def lead_text(text: tuple[str, str], *, separator: str, lead: str = "") -> tuple[str, str]:
    """Return (head, body) with the space between and before them in front of the word behind.

    That is where tokenizers of bytes put it: the two are tokenized one by one, and have the
    tokens of one text. `separator` is what stands between them, `lead` what stands before.
    """
    head, body = text
    if not head:
        return "", lead + body
    bare = head.rstrip()
    return lead + bare, head[len(bare) :] + separator + body


def windows_to_read(
    query: str,
    body: str,
    spans: Sequence[tuple[int, int]],
    *,
    coarse: int,
    count: int,
) -> tuple[int, ...]:
    """Return which of a document's windows are read: `count`, and the most promising fine ones.

    All but the fine ones where there are no more; else the first and others, or the most
    promising one alone, see `rank_windows`.
    """
    positions: Sequence[int] = range(coarse)
    if count < coarse:
        ranked = rank_windows(query, [body[start:end] for start, end in spans[:coarse]])
        others = [i for i in ranked if i][: count - 1]
        positions = sorted([0, *others]) if count > 1 else ranked[:1]
    ranked = rank_windows(query, [body[start:end] for start, end in spans[coarse:]])
    return (*positions, *sorted(coarse + i for i in ranked[:_FINE_WINDOWS]))


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


@dataclass(frozen=True, slots=True)
class DocumentTokens:
    """One document's tokens, and which of them are in its windows.

    - `head`: repeated in every window; `body`: its tokens up to the reach or further.
    - `ranges`: [start, end) of each window in the body, in tokens; the first `coarse` have
      `size` tokens, the others half of that.
    """

    head: Sequence[int]
    body: Tokens
    ranges: tuple[tuple[int, int], ...]
    size: int
    coarse: int
    unread: int

    def window(self, position: int) -> list[int]:
        """Return the token ids of a window."""
        start, end = self.ranges[position]
        return [*self.head, *self.body.ids[start:end]]


def split_documents(
    tokenizer: Tokenizer,
    texts: Sequence[tuple[str, str]],
    *,
    max_tokens: int,
    passages: PassageAggregation,
    reach: int,
) -> Iterator[WindowTokens]:
    """Yield the windows of each (head, body), see `tokenize_documents`."""
    for document in tokenize_documents(
        tokenizer, texts, max_tokens=max_tokens, passages=passages, reach=reach
    ):
        ends_at = document.body.ends_at
        yield WindowTokens(
            tuple(map(document.window, range(len(document.ranges)))),
            document.unread,
            tuple((ends_at(start), ends_at(end)) for start, end in document.ranges),
            document.size,
            document.coarse,
        )


def tokenize_documents(
    tokenizer: Tokenizer,
    texts: Sequence[tuple[str, str]],
    *,
    max_tokens: int,
    passages: PassageAggregation,
    reach: int,
) -> Iterator[DocumentTokens]:
    """Yield the tokens and windows of the first `reach` tokens of each (head, body).

    A window has at most `max_tokens` tokens. The head is repeated in every window. Where head
    and body do not fit together into a window or the reach, a head longer than half of that is
    truncated to half.
    """
    longest = min(max_tokens, reach)
    windows = passages.max_windows
    limit = reach if windows is None else min(reach, max_tokens * windows)
    for batch in _batches(texts, limit):
        # One token more than is needed shows whether a text goes on.
        heads = tokenizer.encode([head for head, _ in batch], limit=max_tokens)
        bodies = tokenizer.encode([body for _, body in batch], limit=limit + 1)
        for head, body in zip(heads, bodies, strict=True):
            head_tokens = len(head.ids)
            if head_tokens > longest // 2 and head_tokens + len(body.ids) > longest:
                head_tokens = longest // 2
            tokens = min(len(body.ids), reach - head_tokens)
            size = max_tokens - head_tokens
            coarse = passages.windows(tokens, size)
            yield DocumentTokens(
                head.ids[:head_tokens],
                body,
                (*coarse, *passages.fine_windows(tokens, size)),
                size,
                len(coarse),
                _unread(head, head_tokens) + _unread(body, coarse[-1][1]),
            )


def _batches(
    texts: Sequence[tuple[str, str]], limit: int
) -> Iterator[Sequence[tuple[str, str]]]:
    start = characters = 0
    for position, (head, body) in enumerate(texts):
        length = len(head) + min(len(body), limit * CHARACTERS_PER_TOKEN)
        full = characters + length > _CHARACTERS_AT_ONCE or position - start == _TEXTS_AT_ONCE
        if full and position > start:
            yield texts[start:position]
            start, characters = position, 0
        characters += length
    yield texts[start:]


def _unread(tokens: Tokens, count: int) -> int:
    """Return how many characters are behind the first `count` tokens."""
    if count >= len(tokens.ids) and (not tokens.ids or tokens.complete):
        return 0
    return tokens.characters - tokens.ends_at(count)


def build_windows(
    tokenizer: Tokenizer,
    query: str,
    texts: Sequence[tuple[str, str]],
    *,
    max_length: int,
    longest: int,
    passages: PassageAggregation,
    reach: int,
    share: int,
    separator: str = "",
) -> list[DocumentWindows]:
    """Return the windows of each (head, body) paired with the query, of `max_length` tokens.

    - `query`: at most `max_pair_query` tokens long. If it leaves too little of `max_length`,
      windows grow up to `longest`, the input limit of the model.
    - `reach`: how many tokens of a document, from its beginning, windows are chosen from;
      `share`: how many are read, see `windows_to_read`.
    - `separator`: what stands between head and body, see `lead_text`.

    Where head and body do not fit together, see `split_documents`.
    """
    template = tokenizer.pair
    (query_tokens,) = tokenizer.encode([query], limit=longest)
    fixed = len(query_tokens.ids) + template.special
    length = max(max_length, min(longest, fixed + MIN_DOCUMENT_TOKENS))
    led = [lead_text(text, separator=separator) for text in texts]
    documents = split_documents(
        tokenizer, led, max_tokens=length - fixed, passages=passages, reach=reach
    )
    chosen = (
        tokens.choose(query, body, passages=passages, tokens=share).shift(len(body) - len(bare))
        for tokens, (_, body), (_, bare) in zip(documents, led, texts, strict=True)
    )
    return [
        DocumentWindows(
            tuple(template.join(query_tokens.ids, ids) for ids in tokens.ids),
            tokens.unread,
            tokens.spans,
            tokens.size,
            tokens.coarse,
        )
        for tokens in chosen
    ]


def max_pair_query(tokenizer: Tokenizer, longest: int) -> int:
    """Return how long a query can be, in tokens, to be paired with documents."""
    return longest - tokenizer.pair.special - MIN_DOCUMENT_TOKENS
