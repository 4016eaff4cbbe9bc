"""What an instance has for a question, by meaning and by words.

A chunk on its way through a search.

One order of what was found by meaning and by words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from secondpass.errors import IndexStoreError, ModelError
from secondpass.retrieve.fusion import rrf
from secondpass.retrieve.store_protocol import Hit
from secondpass.server.cloudflare.filters import ITEM, sql
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.schemas import FusionName
from secondpass.server.cloudflare.search_plan import Target
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.index.index import Index
    from secondpass.retrieve.store_protocol import Embedding


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A chunk with what it was found by; `score` is from 0 to 1.

    `vector` is a similarity from 0 to 1, `keyword` a BM25 sum; ranks count from 1. What one
    half did not find has no rank of it.
    """

    target: Target
    document: Document
    item: Item
    vector: float | None = None
    keyword: float | None = None
    vector_rank: int | None = None
    keyword_rank: int | None = None
    score: float = 0.0
    fusion: FusionName | None = None
    reranked: float | None = None

    @property
    def id(self) -> str:
        """The chunk's id, which no chunk of another instance has."""
        return str(self.document.id)

    def shown(self, *, text: str | None = None, with_instance: bool = False) -> dict[str, Any]:
        """Return the chunk as clients see it, with another text if one is given."""
        details = {
            "vector_score": self.vector,
            "keyword_score": self.keyword,
            "vector_rank": self.vector_rank,
            "keyword_rank": self.keyword_rank,
            "fusion_method": self.fusion,
            "reranking_score": self.reranked,
        }
        found: dict[str, Any] = {
            "id": self.id,
            "type": "text",
            "score": self.score,
            "text": self.document.text if text is None else text,
            "item": {
                "key": self.item.key,
                "timestamp": self.item.modified_at,
                "metadata": self.item.shown_metadata(),
            },
            "scoring_details": {k: v for k, v in details.items() if v is not None},
        }
        if with_instance:
            found["instance_id"] = self.target.instance.name
        return found


CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class _Halves:
    near: list[Hit]
    worded: list[Hit]
    embedding: Embedding | None


def retrieve(target: Target, query: str, *, partial: bool) -> list[RetrievedChunk]:
    """Return up to 50 chunks of each half, in no order, without those of deleted files.

    With `partial`, one half will do where the other fails.
    """
    instance = target.instance
    with instance.present():
        index = instance.index()
        halves = _halves(target, index, query, partial)
        found: dict[str, RetrievedChunk] = {}
        items = instance.items.by_ids(
            list({str(h.document.metadata[ITEM]) for h in (*halves.near, *halves.worded)})
        )
    for hit, rank in _ranked(halves.near, items):
        item = items[hit.document.metadata[ITEM]]
        found[hit.id] = RetrievedChunk(
            target, hit.document, item, vector=max(0.0, hit.score), vector_rank=rank
        )
    for hit, rank in _ranked(halves.worded, items):
        one = found.get(hit.id)
        if one is None:
            item = items[hit.document.metadata[ITEM]]
            similarity = _similarity(halves.embedding, hit)
            one = RetrievedChunk(target, hit.document, item, vector=similarity)
        found[hit.id] = replace(one, keyword=hit.score, keyword_rank=rank)
    return list(found.values())


def _halves(target: Target, index: Index, query: str, partial: bool) -> _Halves:
    condition = sql(target.conditions, index.store.fields)
    store, embedding = index.store, None
    near: list[Hit] = []
    worded: list[Hit] = []
    failed: Exception | None = None
    hybrid = target.kind == "hybrid"

    def tried(half: Callable[[], list[Hit]]) -> list[Hit]:
        nonlocal failed
        try:
            return half()
        except (ModelError, IndexStoreError) as error:
            if not (partial and hybrid) or failed is not None:
                raise
            failed = error
            return []

    def by_meaning() -> list[Hit]:
        nonlocal embedding
        embedding = index.embedder.encode([query])[0]
        return store.vector(embedding, CANDIDATES, condition)

    def by_words() -> list[Hit]:
        return store.bm25(
            query, CANDIDATES, condition, embeddings=embedding is not None, every=target.every
        )

    if target.kind != "keyword":
        near = tried(by_meaning)
    if target.kind != "vector":
        worded = tried(by_words)
    return _Halves(near, worded, embedding)


def _ranked(hits: list[Hit], items: Mapping[str, Item]) -> list[tuple[Hit, int]]:
    there = [hit for hit in hits if hit.document.metadata[ITEM] in items]
    return [(hit, rank) for rank, hit in enumerate(there, 1)]


def _similarity(embedding: Embedding | None, hit: Hit) -> float | None:
    if embedding is None or hit.embedding is None:
        return None
    # Both are of unit length.
    return min(1.0, max(0.0, float(embedding @ hit.embedding)))


_RRF_K = 60


def fused(found: Sequence[RetrievedChunk], method: FusionName) -> list[RetrievedChunk]:
    """Return the best 50, best first, with scores from 0 to 1.

    - "rrf": reciprocal ranks, 1 for the first of both halves.
    - "max": the higher of both scores, each as a share of the best of its half.

    What was searched in one way only has the similarity, or the share of the best BM25.
    Ranks are over all that is given, which may be of several instances.
    """
    near = [f for f in found if f.vector_rank is not None]
    worded = [f for f in found if f.keyword_rank is not None]
    hybrid = any(f.target.kind == "hybrid" for f in found)
    if not hybrid and not (near and worded):
        scores = {f.id: f.vector or 0.0 for f in near} | _shares(worded, _keyword)
        ranked = [replace(f, score=scores[f.id]) for f in found]
    else:
        lists = (_pairs(near, _vector), _pairs(worded, _keyword))
        if method == "rrf":
            best = len(lists) / (_RRF_K + 1)
            scores = {name: score / best for name, score in rrf(lists, k=_RRF_K)}
        else:
            scores = _highest(_shares(near, _vector), _shares(worded, _keyword))
        ranked = [replace(f, score=min(1.0, scores[f.id]), fusion=method) for f in found]
    return sorted(ranked, key=lambda f: (-f.score, f.id))[:CANDIDATES]


def _vector(found: RetrievedChunk) -> float:
    return found.vector or 0.0


def _keyword(found: RetrievedChunk) -> float:
    return found.keyword or 0.0


def _pairs(
    found: Sequence[RetrievedChunk], score: Callable[[RetrievedChunk], float]
) -> list[tuple[str, float]]:
    return [(f.id, score(f)) for f in found]


def _shares(
    found: Sequence[RetrievedChunk], score: Callable[[RetrievedChunk], float]
) -> dict[str, float]:
    best = max(map(score, found), default=0.0)
    return {f.id: score(f) / best if best > 0 else 0.0 for f in found}


def _highest(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in {**one, **other}}
