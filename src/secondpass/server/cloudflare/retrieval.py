"""What an instance has for a question, by meaning and by words.

A chunk on its way through a search.

One order of what was found by meaning and by words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from secondpass.errors import IndexStoreError, ModelError
from secondpass.retrieve.fusion import max_share, rrf
from secondpass.retrieve.hybrid import filter_hits, run_now
from secondpass.server.cloudflare.filters import ITEM, sql
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.schemas import FusionName
from secondpass.server.cloudflare.search_plan import Target
from secondpass.types import Document


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


_MODES = {"hybrid": "hybrid", "vector": "vector", "keyword": "bm25"}


def retrieve(target: Target, query: str, *, partial: bool) -> list[RetrievedChunk]:
    """Return up to 50 chunks of each half, unordered, without those of deleted files.

    With `partial`, the chunks of one half are returned if the other fails.
    """
    instance = target.instance
    with instance.present():
        index = instance.index()
        hits = index.retriever.search_hits(
            query,
            mode=_MODES[target.kind],
            limit=CANDIDATES,
            filter=sql(target.conditions, index.fields),
            all_words=target.every,
            tolerate=(ModelError, IndexStoreError) if partial else (),
            # In this thread, which is one of the few that read.
            submit=run_now,
        )
        items = instance.items.by_ids(list({str(h.document.metadata[ITEM]) for h in hits}))
    return [
        RetrievedChunk(
            target,
            hit.document,
            items[hit.document.metadata[ITEM]],
            vector=None if hit.vector is None else max(0.0, hit.vector),
            keyword=hit.bm25,
            vector_rank=hit.vector_rank,
            keyword_rank=hit.bm25_rank,
        )
        for hit in filter_hits(hits, lambda hit: hit.document.metadata[ITEM] in items)
    ]


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
            scores = {name: score for name, (score, _) in max_share(lists).items()}
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
