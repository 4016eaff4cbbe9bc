"""Hybrid search: run the BM25 and the vector half, merge their hits, fuse their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from secondpass.retrieve.fusion import Method, fuse_parts
from secondpass.retrieve.store_protocol import Hit
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HybridHit:
    """A passage with what both halves say of it; None where a half does not know.

    - `bm25`: a BM25 sum; `vector`: a cosine, -1 to 1.
    - `bm25_rank`, `vector_rank`: from 1, in the half that found it.
    - `score`: the fused one; `bm25_part`, `vector_part`: what each half contributes to it;
      see `fuse_hits`.
    """

    document: Document
    bm25: float | None = None
    vector: float | None = None
    bm25_rank: int | None = None
    vector_rank: int | None = None
    score: float = 0.0
    bm25_part: float = 0.0
    vector_part: float = 0.0

    @property
    def id(self) -> str:
        """The id that users see; another passage may have the same."""
        return str(self.document.id)

    @property
    def key(self) -> str:
        """A name that no other passage has."""
        return self.document.key


@dataclass(frozen=True, slots=True)
class Halves:
    """What both halves of a hybrid search returned; `embedding` is that of the query."""

    bm25: list[Hit]
    vector: list[Hit]
    embedding: Embedding | None = None


class Submit(Protocol):
    """Starts a function, in a thread or at once, and returns its future."""

    def __call__(self, function: Callable[[], list[Hit]], /) -> Future[list[Hit]]:
        """Start the function."""


def run_now(function: Callable[[], T], /) -> Future[T]:
    """Run a function in the calling thread; the future is done."""
    future: Future[T] = Future()
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001 - raised by the future's result
        future.set_exception(error)
    return future


def search_halves(
    *,
    bm25: Callable[[], list[Hit]] | None,
    embed: Callable[[], Embedding] | None,
    vector: Callable[[Embedding], list[Hit]] | None,
    submit: Submit = run_now,
    wait: Callable[[Future[list[Hit]]], list[Hit]] = Future.result,
    tolerate: tuple[type[Exception], ...] = (),
) -> Halves:
    """Run both halves of a hybrid search; a half that is None is left out.

    BM25 starts through `submit`; meanwhile `embed` runs in the calling thread, and then the
    vector half through `submit`. If one of two halves raises an error of `tolerate`, the hits
    of the other are returned; if both do, that of the vector half is raised.
    """
    words = None if bm25 is None else submit(bm25)
    embedding: Embedding | None = None
    near: list[Hit] = []
    failure: Exception | None = None
    try:
        embedding = None if embed is None else embed()
        if vector is not None and embedding is not None:
            search = partial(vector, embedding)
            near = wait(submit(search))
    except tolerate as error:
        if words is None:
            raise
        failure = error
    try:
        return Halves([] if words is None else wait(words), near, embedding)
    except tolerate:
        if failure is not None:
            raise failure from None
        if vector is None:
            raise
        return Halves([], near, embedding)


def merge_hits(
    bm25: Sequence[Hit],
    vector: Sequence[Hit],
    *,
    embedding: Embedding | None = None,
    min_similarity: float | None = None,
) -> list[HybridHit]:
    """Return each passage once, with the score and the rank of both halves; unordered.

    With the query's `embedding`, BM25 hits that carry their vectors get the cosine that the
    vector half did not return. Vector hits below `min_similarity` are dropped before they are
    ranked.
    """
    merged: dict[str, HybridHit] = {}
    for rank, hit in enumerate(bm25, 1):
        cosine = None
        if embedding is not None and hit.embedding is not None:
            cosine = cosine_similarity(embedding, hit.embedding)
        merged[hit.key] = HybridHit(hit.document, hit.score, cosine, bm25_rank=rank)
    near = [h for h in vector if min_similarity is None or h.score >= min_similarity]
    for rank, hit in enumerate(near, 1):
        known = merged.get(hit.key, HybridHit(hit.document))
        merged[hit.key] = replace(known, vector=hit.score, vector_rank=rank)
    return list(merged.values())


def filter_hits(
    hits: Iterable[HybridHit], keep: Callable[[HybridHit], bool]
) -> list[HybridHit]:
    """Return the hits for which `keep` is true, with the ranks of both halves counted anew."""
    kept = [hit for hit in hits if keep(hit)]
    bm25_ranks = _count_ranks({h.key: h.bm25_rank for h in kept})
    vector_ranks = _count_ranks({h.key: h.vector_rank for h in kept})
    return [
        replace(h, bm25_rank=bm25_ranks.get(h.key), vector_rank=vector_ranks.get(h.key))
        for h in kept
    ]


def _count_ranks(ranks: dict[str, int | None]) -> dict[str, int]:
    ranked = sorted((rank, i) for i, rank in ranks.items() if rank is not None)
    return {i: rank for rank, (_, i) in enumerate(ranked, 1)}


def fuse_hits(
    hits: Iterable[HybridHit],
    method: str | Method = "rrf",
    weights: Sequence[float] | None = None,
) -> list[HybridHit]:
    """Return the hits with fused scores, best first, then by key.

    `method` is one of `fusion.METHODS` or a function like them; `weights` are those of BM25
    and vectors. A half counts for a passage only if it returned it, that is, if the passage
    has a rank there. Ranks are counted anew over all these hits, by their scores: they may
    come from several stores.
    """
    by_key = {hit.key: hit for hit in hits}
    rankings = [
        [(k, h.bm25 or 0.0) for k, h in by_key.items() if h.bm25_rank is not None],
        [(k, h.vector or 0.0) for k, h in by_key.items() if h.vector_rank is not None],
    ]
    parts = fuse_parts(rankings, method, weights)
    fused = [
        replace(by_key[k], score=score, bm25_part=bm25_part, vector_part=vector_part)
        for k, (score, (bm25_part, vector_part)) in parts.items()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.key))


def cosine_similarity(a: Embedding, b: Embedding) -> float:
    """Return the cosine of two vectors, -1 to 1; 0 where one is zero."""
    import numpy as np

    x, y = a.astype(np.float64), b.astype(np.float64)
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return 0.0 if length == 0 else min(1.0, max(-1.0, float(x @ y) / length))
