"""BM25 for engines that can find texts with a word, but do not rank them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from secondpass.retrieve.backends.collection_store import Row
from secondpass.retrieve.bm25 import K1, B
from secondpass.retrieve.keywords import find_keywords, find_query_keywords
from secondpass.retrieve.languages import ENGLISH_STOP_WORDS

MAX_MATCHES = 1000
"""How many texts with a word of the query are read and ranked."""
MAX_WORDS = 32
"""How many words of a query are looked for, rare-looking (long) ones first."""
RANKING = (
    f"BM25 by secondpass, over up to {MAX_MATCHES:,} documents that have a word of the query"
)


def query_words(query: str) -> list[str]:
    """Return the words to look for, each once, without English stop words if others are left.

    At most MAX_WORDS, the longest.
    """
    words = list(dict.fromkeys(keyword.text for keyword in find_query_keywords(query)))
    content = [word for word in words if word not in ENGLISH_STOP_WORDS] or words
    return sorted(content, key=len, reverse=True)[:MAX_WORDS]


def score_rows(rows: Sequence[Row], field: str, words: Sequence[str], total: int) -> list[Row]:
    """Return rows that were found by words in a field, with their BM25; see `score_texts`."""
    texts = [str(row.values.get(field) or "") for row in rows]
    scores = score_texts(words, texts, total)
    return [replace(row, score=score) for row, score in zip(rows, scores, strict=True)]


def score_texts(words: Sequence[str], texts: Sequence[str], total: int) -> list[float]:
    """Return the BM25 of texts that were found by these words, among `total` texts in all.

    Where all texts with a word were found, the counts of documents are exact, and the mean
    length is that of the texts found.
    """
    counted = [Counter(keyword.text for keyword in find_keywords(text)) for text in texts]
    lengths = [sum(counts.values()) for counts in counted]
    mean = max(1.0, sum(lengths) / max(1, len(lengths)))
    total = max(total, len(texts))
    scores = [0.0] * len(texts)
    for word in words:
        found = sum(word in counts for counts in counted)
        idf = math.log(1 + (total - found + 0.5) / (found + 0.5))
        for position, counts in enumerate(counted):
            count = counts[word]
            norm = K1 * (1 - B + B * lengths[position] / mean)
            scores[position] += idf * count * (K1 + 1) / (count + norm)
    return scores
