"""First-stage retrieval from an instance, by vectors and keywords, and its fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from secondpass.errors import IndexStoreError, ModelError
from secondpass.retrieve.fusion import rrf
from secondpass.retrieve.json_filter import to_sql
from secondpass.retrieve.store_protocol import Hit
from secondpass.server.cloudflare.filters import ITEM_COLUMN
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.schemas import FusionMethod
from secondpass.server.cloudflare.search_request import SearchTarget
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.index.index import Index
    from secondpass.retrieve.store_protocol import Embedding


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A chunk with its scores; `score`, the one that counts at this stage, is 0 to 1.

    `vector_score` is a cosine similarity from 0 to 1, `keyword_score` a BM25 score; ranks
    count from 1 and are None where vectors or keywords did not retrieve the chunk.
    """

    target: SearchTarget
    document: Document
    item: Item
    vector_score: float | None = None
    keyword_score: float | None = None
    vector_rank: int | None = None
    keyword_rank: int | None = None
    score: float = 0.0
    fusion: FusionMethod | None = None
    reranking_score: float | None = None

    @property
    def id(self) -> str:
        """The chunk's id, unique over all instances."""
        return str(self.document.id)

    def to_json(self, *, text: str, with_instance: bool) -> dict[str, Any]:
        """Return the chunk as clients see it, with this text."""
        details = {
            "vector_score": self.vector_score,
            "keyword_score": self.keyword_score,
            "vector_rank": self.vector_rank,
            "keyword_rank": self.keyword_rank,
            "fusion_method": self.fusion,
            "reranking_score": self.reranking_score,
        }
        body: dict[str, Any] = {
            "id": self.id,
            "type": "text",
            "score": self.score,
            "text": text,
            "item": {
                "key": self.item.key,
                "timestamp": self.item.modified_at,
                "metadata": self.item.metadata_json(),
            },
            "scoring_details": {k: v for k, v in details.items() if v is not None},
        }
        if with_instance:
            body["instance_id"] = self.target.instance.name
        return body


DEPTH = 50
"""How many chunks each of vectors and keywords retrieves, and how many fusion returns."""


@dataclass(frozen=True, slots=True)
class _Hits:
    """Hits by vectors and by keywords, and the embedding of the query if there is one."""

    vector: list[Hit]
    keyword: list[Hit]
    embedding: Embedding | None


def retrieve(target: SearchTarget, query: str, *, allow_partial: bool) -> list[RetrievedChunk]:
    """Return up to 50 chunks by vectors and by keywords, unordered, none of deleted items.

    With `allow_partial`, one of the two is enough where the other fails. Raises what the
    index and the embedder raise.
    """
    instance = target.instance
    with instance.not_found_if_deleted():
        index = instance.index()
        hits = _search_index(target, index, query, allow_partial)
        items = instance.items.get_many(
            list({str(h.document.metadata[ITEM_COLUMN]) for h in (*hits.vector, *hits.keyword)})
        )
    chunks: dict[str, RetrievedChunk] = {}
    for hit, rank in _rank_existing(hits.vector, items):
        item = items[hit.document.metadata[ITEM_COLUMN]]
        chunks[hit.id] = RetrievedChunk(
            target, hit.document, item, vector_score=max(0.0, hit.score), vector_rank=rank
        )
    for hit, rank in _rank_existing(hits.keyword, items):
        chunk = chunks.get(hit.id)
        if chunk is None:
            item = items[hit.document.metadata[ITEM_COLUMN]]
            similarity = _cosine_similarity(hits.embedding, hit)
            chunk = RetrievedChunk(target, hit.document, item, vector_score=similarity)
        chunks[hit.id] = replace(chunk, keyword_score=hit.score, keyword_rank=rank)
    return list(chunks.values())


def _search_index(target: SearchTarget, index: Index, query: str, allow_partial: bool) -> _Hits:
    store = index.store
    condition = to_sql(target.conditions, store.fields)
    vector_hits: list[Hit] = []
    keyword_hits: list[Hit] = []
    embedding: Embedding | None = None
    may_fail = allow_partial and target.retrieval_type == "hybrid"
    failure: Exception | None = None
    if target.retrieval_type != "keyword":
        try:
            embedding = index.embedder.encode([query])[0]
            vector_hits = store.vector(embedding, DEPTH, condition)
        except (ModelError, IndexStoreError) as error:
            if not may_fail:
                raise
            failure = error
    if target.retrieval_type != "vector":
        try:
            keyword_hits = store.bm25(
                query,
                DEPTH,
                condition,
                embeddings=embedding is not None,
                every=target.match_all,
            )
        except (ModelError, IndexStoreError):
            if not may_fail or failure is not None:
                raise
    return _Hits(vector_hits, keyword_hits, embedding)


def _rank_existing(hits: list[Hit], items: Mapping[str, Item]) -> list[tuple[Hit, int]]:
    existing = [hit for hit in hits if hit.document.metadata[ITEM_COLUMN] in items]
    return [(hit, rank) for rank, hit in enumerate(existing, 1)]


def _cosine_similarity(embedding: Embedding | None, hit: Hit) -> float | None:
    if embedding is None or hit.embedding is None:
        return None
    # Both are of unit length.
    return min(1.0, max(0.0, float(embedding @ hit.embedding)))


_RRF_K = 60


def fuse(chunks: Sequence[RetrievedChunk], method: FusionMethod) -> list[RetrievedChunk]:
    """Return the best 50 chunks, best first, with scores from 0 to 1.

    - "rrf": reciprocal rank fusion, 1 for a chunk that is first by vectors and keywords.
    - "max": the higher of both scores, each divided by the best of its kind.

    Without hybrid retrieval the score is the similarity, or the BM25 score divided by the
    best. Ranks count over all chunks, which may be of several instances.
    """
    by_vector = [chunk for chunk in chunks if chunk.vector_rank is not None]
    by_keyword = [chunk for chunk in chunks if chunk.keyword_rank is not None]
    hybrid = any(chunk.target.retrieval_type == "hybrid" for chunk in chunks)
    if not hybrid and not (by_vector and by_keyword):
        scores = {c.id: c.vector_score or 0.0 for c in by_vector}
        scores |= _normalize_scores(by_keyword, _keyword_score)
        scored = [replace(chunk, score=scores[chunk.id]) for chunk in chunks]
    else:
        if method == "rrf":
            rankings = [
                [(chunk.id, _vector_score(chunk)) for chunk in by_vector],
                [(chunk.id, _keyword_score(chunk)) for chunk in by_keyword],
            ]
            best = len(rankings) / (_RRF_K + 1)
            scores = {chunk_id: score / best for chunk_id, score in rrf(rankings, k=_RRF_K)}
        else:
            vector = _normalize_scores(by_vector, _vector_score)
            keyword = _normalize_scores(by_keyword, _keyword_score)
            scores = {
                chunk_id: max(vector.get(chunk_id, 0.0), keyword.get(chunk_id, 0.0))
                for chunk_id in {**vector, **keyword}
            }
        scored = [replace(c, score=min(1.0, scores[c.id]), fusion=method) for c in chunks]
    return sorted(scored, key=lambda chunk: (-chunk.score, chunk.id))[:DEPTH]


def _vector_score(chunk: RetrievedChunk) -> float:
    return chunk.vector_score or 0.0


def _keyword_score(chunk: RetrievedChunk) -> float:
    return chunk.keyword_score or 0.0


def _normalize_scores(
    chunks: Sequence[RetrievedChunk], score: Callable[[RetrievedChunk], float]
) -> dict[str, float]:
    """Return scores divided by the best one, by chunk id."""
    best = max(map(score, chunks), default=0.0)
    return {chunk.id: score(chunk) / best if best > 0 else 0.0 for chunk in chunks}
