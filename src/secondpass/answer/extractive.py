"""An answer without a language model: the sentences that answer best, as they stand.

Texts cut into sentences, by rules that need no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from secondpass.answer.types import Passage
from secondpass.rerank.base import BaseReranker
from secondpass.types import Document

# After an end mark and a blank, or a line break; CJK marks need no blank.
_END = re.compile(
    "(?<=[.!?\u2026])[\"'\u201d\u2019)\\]]*\\s+(?=[\"'\u201c\u2018(\\[]?[^\\Wa-z_])"
    "|(?<=[\u3002\uff01\uff1f])|\\n+"
)
_SHORT = re.compile(
    r"(?:\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|vs|etc|e\.g|i\.e|cf|al|No|Fig|approx|c|ca)\.)$"
)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of each sentence that holds a letter or a digit, in order."""
    start = 0
    for found in _END.finditer(text):
        if "\n" not in found[0] and _SHORT.search(text[start : found.start()]):
            continue
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    inside = text[start:end]
    if any(c.isalnum() for c in inside):
        yield (
            start + len(inside) - len(inside.lstrip()),
            end - len(inside) + len(inside.rstrip()),
        )


_MOST_SENTENCES = 40


def highlighted(
    query: str, passages: Sequence[Passage], reranker: BaseReranker
) -> tuple[list[Passage], list[float]]:
    """Return the passages with their best sentence marked, and its score for each.

    Every sentence (the first 40 of a passage) is scored by the reranker for the query, with
    the passage's title, all of them in one list.
    """
    spans = [list(sentences(p.text))[:_MOST_SENTENCES] for p in passages]
    spans = [s if s else [(0, len(p.text))] for s, p in zip(spans, passages, strict=True)]
    documents = [
        Document(p.text[start:end], title=p.title)
        for p, some in zip(passages, spans, strict=True)
        for start, end in some
    ]
    scored = {r.index: r.score for r in reranker.rerank(query, documents).results}
    marked, scores, first = [], [], 0
    for passage, some in zip(passages, spans, strict=True):
        best = max(range(len(some)), key=lambda i: (scored[first + i], -i))
        marked.append(replace(passage, highlight=some[best]))
        scores.append(scored[first + best])
        first += len(some)
    return marked, scores


def extract(passages: Sequence[Passage], scores: Sequence[float], *, most: int) -> str:
    """Return the best sentences, best first, each with the number of its passage."""
    order = sorted(range(len(passages)), key=lambda i: (-scores[i], i))[:most]
    lines = []
    for i in order:
        passage = passages[i]
        assert passage.highlight is not None
        start, end = passage.highlight
        lines.append(f"{' '.join(passage.text[start:end].split())} [{passage.number}]")
    return "\n".join(dict.fromkeys(lines))
