"""A retriever in ten lines: the number of words that a text shares with the query."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass import Candidate, Document


class WordRetriever:
    """No more than `retrieve`: no fields, no modes, one ranking of its own, no filters."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = documents
        self.asked: list[int] = []
        self.closed = False

    def retrieve(self, query: str, k: int = 50) -> list[Candidate]:
        self.asked.append(k)
        words = set(query.lower().split())
        scored = [(len(words & set(d.text.lower().split())), d) for d in self.documents]
        scored.sort(key=lambda pair: -pair[0])
        return [Candidate(d, score=float(n)) for n, d in scored[:k] if n]

    def close(self) -> None:
        self.closed = True
