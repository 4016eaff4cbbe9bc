"""Long lists of documents, cut into requests that a provider admits."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.rerank.hosted.provider import Limits, Payload


def size(document: Payload) -> int:
    """Return the bytes of a document's texts in UTF-8."""
    texts = [document] if isinstance(document, str) else list(document.values())
    return sum(len(t.encode()) for t in texts)


def estimate(size_in_bytes: int) -> int:
    """Return about how many tokens a text of so many bytes has, rather too many.

    Of the tokenizers in use few make a token of less than three bytes on average: about
    four letters of English, one character of Chinese.
    """
    return size_in_bytes // 3 + 2


def split(query: str, documents: Sequence[Payload], limits: Limits) -> list[range]:
    """Return the positions that go together, in order: each in exactly one range.

    Parts hold about equally many documents, so that they take about equally long. A
    document that exceeds a limit by itself goes alone: whether it is too long is for the
    server to say.
    """
    fewest = -(-len(documents) // limits.documents)
    most = -(-len(documents) // fewest) if fewest else 0
    question = estimate(size(query))
    parts: list[range] = []
    start = held_bytes = held_tokens = 0
    for position, document in enumerate(documents):
        its_bytes = size(document)
        tokens = estimate(its_bytes)
        if limits.each is not None:
            tokens = min(tokens, limits.each)
        tokens += question
        full = (
            position - start >= most
            or (limits.bytes is not None and held_bytes + its_bytes > limits.bytes)
            or (limits.tokens is not None and held_tokens + tokens > limits.tokens)
        )
        if full and position > start:
            parts.append(range(start, position))
            start, held_bytes, held_tokens = position, 0, 0
        held_bytes += its_bytes
        held_tokens += tokens
    if start < len(documents):
        parts.append(range(start, len(documents)))
    return parts
