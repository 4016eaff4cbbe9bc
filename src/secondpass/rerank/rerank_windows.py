"""Head and body of a document as pieces that fit a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondpass.inference.tokenizer import Tokeniser, Tokens, TokenSequence
from secondpass.rerank.windowing import Passages

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
class Pieces:
    """The token ids of one document's windows, and how many characters are in none.

    `spans` says where each stands in the body, in characters.
    """

    ids: tuple[list[int], ...]
    unread: int
    spans: tuple[tuple[int, int], ...]


def pieces(
    tokeniser: Tokeniser, texts: Sequence[tuple[str, str]], *, room: int, passages: Passages
) -> Iterator[Pieces]:
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
            yield Pieces(
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
