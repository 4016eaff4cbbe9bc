"""Text that every tokenizer and store accepts."""

from __future__ import annotations


def clean(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD and surrogate pairs joined.

    Python strings may hold halves of UTF-16 pairs (from JSON escapes or broken file
    names) that cannot be encoded; everything else is returned unchanged.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
