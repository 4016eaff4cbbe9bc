"""A plain BM25 over words, as a source of candidates."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

K1, B = 1.2, 0.75
_WORD = re.compile(r"\w+")


class Bm25:
    """Scores texts by the words of a query; no stemming and no stop words."""

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [Counter(_WORD.findall(text.lower())) for text in texts]
        sizes = [sum(bag.values()) for bag in bags]
        mean = sum(sizes) / max(1, len(sizes))
        self._count = len(texts)
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for position, (bag, size) in enumerate(zip(bags, sizes, strict=True)):
            norm = K1 * (1 - B + B * size / max(1.0, mean))
            for word, times in bag.items():
                self._postings[word].append((position, times * (K1 + 1) / (times + norm)))

    def top(self, query: str, depth: int) -> list[int]:
        """Return the positions of the top texts, filled up to `depth` with others in order."""
        scores: dict[int, float] = defaultdict(float)
        for word in set(_WORD.findall(query.lower())):
            postings = self._postings.get(word, [])
            weight = math.log(1 + (self._count - len(postings) + 0.5) / (len(postings) + 0.5))
            for position, value in postings:
                scores[position] += weight * value
        ranked = sorted(scores, key=lambda p: (-scores[p], p))[:depth]
        known = set(ranked)
        rest = (p for p in range(self._count) if p not in known)
        return [*ranked, *(p for p, _ in zip(rest, range(depth - len(ranked)), strict=False))]
