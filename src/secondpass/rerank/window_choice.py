"""Which windows of long documents are read, where a budget does not allow all of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

# In scripts without spaces between words, pairs of characters stand in for words.
_WORD = re.compile(r"\w+")
_FIRST_UNSPACED = "\u0e00"
_STEM_LENGTH = 5
# The saturation of term frequency; windows are of one length, so that needs no correction.
_K1 = 1.2
# A token of English has 4.5 bytes, one of other scripts 2 to 3.
_BYTES_PER_TOKEN = 4


def token_share(texts: Iterable[tuple[str, str]], budget: int) -> int:
    """Return how many tokens of each (head, body) are read, at least 1, to keep to a budget.

    What short texts leave over goes to the longer ones in equal parts. A token is taken for
    four bytes of UTF-8, so that texts need not be tokenized to be counted. Copies of a text
    count once, as they are read once.
    """
    sizes = sorted(
        -(-(_bytes(head) + _bytes(body)) // _BYTES_PER_TOKEN)
        for head, body in dict.fromkeys(texts)
    )
    left = budget
    for position, size in enumerate(sizes):
        share = left // (len(sizes) - position)
        if size > share:
            return max(1, share)
        left -= size
    return budget


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def rank_windows(query: str, windows: Sequence[str]) -> list[int]:
    """Return the positions of the windows of one document, most promising first.

    Those that have the most of the query's words: BM25 over the document's windows, of words
    and their beginnings, and of pairs of characters in scripts without spaces. Ties go to the
    earlier window. The order depends on nothing but the arguments, so that the score of a
    document does not depend on other documents.
    """
    terms = set(_terms(query))
    frequencies = [Counter(t for t in _terms(text) if t in terms) for text in windows]
    containing = Counter(t for counts in frequencies for t in counts)
    weights = {
        term: math.log1p((len(windows) - n + 0.5) / (n + 0.5)) for term, n in containing.items()
    }
    scores = [
        # Sorted, because the sum of floats depends on the order.
        sum(weights[t] * n / (n + _K1) for t, n in sorted(counts.items()))
        for counts in frequencies
    ]
    return sorted(range(len(windows)), key=lambda i: (-scores[i], i))


def _terms(text: str) -> Iterable[str]:
    for word in _WORD.findall(text.casefold()):
        if word[0] >= _FIRST_UNSPACED:
            yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
            continue
        yield word
        if len(word) > _STEM_LENGTH:
            yield word[:_STEM_LENGTH] + "…"


def count_gaps(spans: Sequence[tuple[int, int]], chosen: Sequence[int]) -> int:
    """Return how many characters of the windows at `spans` are in none of the chosen ones."""
    gaps, position = 0, 0
    for start, end in sorted(spans[i] for i in chosen):
        gaps += max(0, start - position)
        position = max(position, end)
    return gaps + max(0, max(end for _, end in spans) - position)
