"""The stages that quality.py compares, each a function from a question to ranked ids."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from beir import Collection

from secondpass import (
    BaseReranker,
    Blend,
    Candidate,
    Embedder,
    Index,
    RerankResponse,
    ScoreKind,
)
from secondpass.rerank.base import Score, Scored
from secondpass.rerank.reading import Reading

FIRST_STAGE_ONLY = {"vector": 1.0, "bm25": 0.5}
"""The default blend without its reranker: what the second pass must beat to be worth it."""

CONTROL = "BM25 and vector blended, no reranker"


class Remembering(BaseReranker):
    """Scores each pair once, so that several orders of the same candidates cost one pass."""

    def __init__(self, reranker: BaseReranker) -> None:
        self.reranker = reranker
        self.known: dict[tuple[str, str | None], Score] = {}
        self.spent: dict[str, float] = {}
        self.kind = ScoreKind.LOGIT

    @property
    def model(self) -> str:
        """The wrapped reranker's model."""
        return self.reranker.model

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score what was not scored before."""
        new = [c for c in candidates if (query, c.document.id) not in self.known]
        if new:
            started = time.perf_counter()
            scored = self.reranker.score(query, new, reading)
            self.spent[query] = (time.perf_counter() - started) * 1000
            self.kind = scored.kind
            for candidate, score in zip(new, scored.scores, strict=True):
                self.known[query, candidate.document.id] = score
        return Scored([self.known[query, c.document.id] for c in candidates], self.kind)


Search = Callable[[str, str], tuple[list[tuple[str, float]], float]]
"""From a query id and a question to ranked ids with scores, and milliseconds."""


@dataclass
class Stage:
    """One row of the table: `search` ranks for (query id, question), with milliseconds."""

    name: str
    search: Search


def from_index(index: Index, reranker: Remembering, candidates: int) -> list[Stage]:
    """Return the stages that search an index."""

    def first(mode: str) -> Search:
        def search(_: str, question: str) -> tuple[list[tuple[str, float]], float]:
            found = index.search(
                question, mode=mode, candidates=candidates, top_k=candidates, rerank=False
            )
            return ranked(found), found.timings["total"]

        return search

    def second(blend: bool | dict[str, float]) -> Search:
        def search(_: str, question: str) -> tuple[list[tuple[str, float]], float]:
            found = index.search(
                question, candidates=candidates, top_k=candidates, rerank=reranker, blend=blend
            )
            first_pass = found.timings["total"] - found.timings["rerank"]
            reads = blend is not FIRST_STAGE_ONLY
            return ranked(found), first_pass + (
                reranker.spent.get(question, 0.0) if reads else 0
            )

        return search

    return [
        Stage("BM25", first("bm25")),
        Stage("vector", first("vector")),
        Stage("hybrid", first("hybrid")),
        Stage("hybrid, reranker alone", second(False)),
        Stage("hybrid + rerank", second(True)),
        Stage(f"hybrid, {CONTROL}", second(FIRST_STAGE_ONLY)),
    ]


def from_runs(
    collection: Collection, embedder: Embedder, reranker: Remembering, candidates: int
) -> list[Stage]:
    """Return the stages that reorder the given candidates of a collection."""
    texts = {document.id: document for document in collection.documents}

    @cache
    def given(query: str, question: str) -> list[Candidate]:
        run = collection.runs[query][:candidates]
        documents = [texts[name] for name, _ in run]
        vectors = embedder.encode([question, *(d.text for d in documents)])
        return [
            Candidate(document, score=score, rank=rank, bm25=score, vector=float(cosine))
            for rank, (document, (_, score), cosine) in enumerate(
                zip(documents, run, vectors[1:] @ vectors[0], strict=True), start=1
            )
        ]

    def first(query: str, _: str) -> tuple[list[tuple[str, float]], float]:
        return collection.runs[query][:candidates], 0.0

    def second(model: BaseReranker, *, reads: bool = True) -> Search:
        def search(query: str, question: str) -> tuple[list[tuple[str, float]], float]:
            found = model.rerank(question, given(query, question))
            return ranked(found), reranker.spent.get(question, 0.0) if reads else 0.0

        return search

    by_vector = Blend(reranker, {"vector": 1.0})
    by_both = Blend(reranker, FIRST_STAGE_ONLY)
    return [
        Stage("BM25 (given)", first),
        Stage("given, reranker alone", second(reranker)),
        Stage("given + rerank", second(Blend(reranker))),
        Stage("given, reordered by vector", second(by_vector, reads=False)),
        Stage(f"given, {CONTROL}", second(by_both, reads=False)),
    ]


def ranked(response: RerankResponse) -> list[tuple[str, float]]:
    """Return ids with scores that keep the response's order, also where scores are equal."""
    return [(str(result.id), -float(result.rank)) for result in response.results]
