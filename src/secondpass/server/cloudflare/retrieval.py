"""What an instance has for a question, by meaning and by words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from secondpass.errors import IndexStoreError, ModelError
from secondpass.retrieve.store_protocol import Hit
from secondpass.server.cloudflare.conditions import sql
from secondpass.server.cloudflare.fields import ITEM
from secondpass.server.cloudflare.found import Found
from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.search_plan import Target

if TYPE_CHECKING:
    from secondpass.index.index import Index
    from secondpass.retrieve.store_protocol import Embedding

CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class _Halves:
    near: list[Hit]
    worded: list[Hit]
    embedding: Embedding | None


def retrieve(target: Target, query: str, *, partial: bool) -> list[Found]:
    """Return up to 50 chunks of each half, in no order, without those of deleted files.

    With `partial`, one half will do where the other fails.
    """
    instance = target.instance
    with instance.present():
        index = instance.index()
        halves = _halves(target, index, query, partial)
        found: dict[str, Found] = {}
        items = instance.items.by_ids(
            list({str(h.document.metadata[ITEM]) for h in (*halves.near, *halves.worded)})
        )
    for hit, rank in _ranked(halves.near, items):
        item = items[hit.document.metadata[ITEM]]
        found[hit.id] = Found(
            target, hit.document, item, vector=max(0.0, hit.score), vector_rank=rank
        )
    for hit, rank in _ranked(halves.worded, items):
        one = found.get(hit.id)
        if one is None:
            item = items[hit.document.metadata[ITEM]]
            similarity = _similarity(halves.embedding, hit)
            one = Found(target, hit.document, item, vector=similarity)
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
