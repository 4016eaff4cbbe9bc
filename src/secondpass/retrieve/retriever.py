"""One query through the first stage: BM25, vectors or both, fused and completed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from secondpass.errors import InputError, nearest
from secondpass.observe import stage
from secondpass.options import MODES
from secondpass.retrieve.fusion import check_method, fuse
from secondpass.retrieve.store_protocol import FirstStage, Hit, TextEncoder
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The candidates of one query, best first.

    `timings` is in milliseconds: "embed", "bm25", "vector", "fusion" and "total". The
    second and third run at the same time; a stage that was not needed is absent.
    """

    candidates: list[Candidate]
    timings: dict[str, float]


class Retriever:
    """Searches a first stage; safe to use from several threads.

    Without an embedder, only mode "bm25" works.
    """

    def __init__(self, store: FirstStage, embedder: TextEncoder | None = None) -> None:
        self.store = store
        self.embedder = embedder
        # Arrow keeps memory for each thread that reads with it: a few, whoever asks.
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="secondpass-first-pass")

    def retrieve(
        self,
        query: str,
        *,
        mode: str = "hybrid",
        candidates: int = 50,
        filter: str | None = None,  # noqa: A002 - the field's own word
        fusion: str = "rrf",
        weights: Sequence[float] | None = None,
        version: int | None = None,
        complete_scores: bool = True,
    ) -> Retrieved:
        """Return up to `candidates` passages, with the scores of both halves.

        In hybrid mode each half gives `candidates` hits, which `fusion` merges with
        `weights` (BM25, vector). The score of a candidate is the fused one, or that of
        the only half. With `complete_scores`, the half that did not find a candidate
        still scores it: its cosine, and its BM25, 0.0 where it shares no word.

        Raises InputError for an unknown mode or fusion, or fewer than 1 candidate, and
        FilterError for a filter that cannot be used.
        """
        self._check(query, mode, candidates, fusion)
        with stage("first_pass", query=query, mode=mode, candidates=candidates) as told:
            start = perf_counter()
            store = self.store if version is None else self.store.checkout(version)
            run = _Run(store, query, candidates, filter)
            vectors = self.embedder is not None and store.dimension > 0
            words = None
            if mode != "vector":
                need = complete_scores and vectors
                words = self._pool.submit(run.bm25, embeddings=need)
            embedding = None
            if vectors and (mode != "bm25" or complete_scores):
                embedding = self._pool.submit(run.embed, self.embedder).result()
            near: list[Hit] = []
            if mode != "bm25" and embedding is not None:
                near = self._pool.submit(run.vector, embedding).result()
            found = [] if words is None else words.result()
            began = perf_counter()
            if mode == "hybrid":
                rankings = [[(h.id, h.score) for h in hits] for hits in (found, near)]
                ranked = fuse(rankings, fusion, weights)[:candidates]
            else:
                ranked = [(h.id, h.score) for h in (found if mode == "bm25" else near)]
            meant = embedding if complete_scores else None
            result = self._pool.submit(run.complete, ranked, found, near, meant).result()
            run.timings["fusion"] = _ms(began)
            run.timings["total"] = _ms(start)
            told["documents"] = len(result)
        return Retrieved(result, run.timings)

    def close(self) -> None:
        """End the threads of this retriever; the store stays open."""
        self._pool.shutdown()

    def _check(self, query: str, mode: str, candidates: int, fusion: str) -> None:
        if not isinstance(query, str):
            raise InputError("the query is not text", why=f"it is a {type(query).__name__}")
        if mode not in MODES:
            raise InputError(f"unknown mode {mode!r}", fix=nearest(str(mode), MODES))
        check_method(fusion)
        if type(candidates) is not int or candidates < 1:
            raise InputError(
                "candidates cannot be used",
                why=f"it is {candidates!r}",
                fix="Give a whole number from 1 up, such as 50.",
            )
        if mode != "bm25" and (self.embedder is None or not self.store.dimension):
            lacks = "no embedder was given" if self.store.dimension else "the index has none"
            raise InputError(
                f"mode {mode!r} needs vectors", why=lacks, fix="Search with mode 'bm25'."
            )


class _Run:
    def __init__(
        self, store: FirstStage, query: str, limit: int, condition: str | None
    ) -> None:
        self.store, self.query, self.limit, self.condition = store, query, limit, condition
        self.timings: dict[str, float] = {}

    def embed(self, embedder: TextEncoder | None) -> Embedding:
        assert embedder is not None
        start = perf_counter()
        vector: Embedding = embedder.encode([self.query])[0]
        self.timings["embed"] = _ms(start)
        return vector

    def bm25(self, *, embeddings: bool) -> list[Hit]:
        start = perf_counter()
        hits = self.store.bm25(self.query, self.limit, self.condition, embeddings=embeddings)
        self.timings["bm25"] = _ms(start)
        return hits

    def vector(self, embedding: Embedding) -> list[Hit]:
        start = perf_counter()
        hits = self.store.vector(embedding, self.limit, self.condition)
        self.timings["vector"] = _ms(start)
        return hits

    def complete(
        self,
        ranked: list[tuple[str, float]],
        found: list[Hit],
        near: list[Hit],
        embedding: Embedding | None,
    ) -> list[Candidate]:
        documents: dict[str, Document] = {h.id: h.document for h in (*found, *near)}
        bm25 = {h.id: h.score for h in found}
        cosine = {h.id: h.score for h in near}
        if embedding is not None:
            for hit in found:
                if hit.id not in cosine and hit.embedding is not None:
                    cosine[hit.id] = _cosine(embedding, hit.embedding)
            rest = [name for name, _ in ranked if name not in bm25]
            if rest:
                bm25 |= dict.fromkeys(rest, 0.0)
                again = self.store.bm25(self.query, len(rest), ids=rest)
                bm25 |= {h.id: h.score for h in again}
        return [
            Candidate(
                documents[name],
                score=score,
                rank=rank,
                bm25=bm25.get(name),
                vector=cosine.get(name),
            )
            for rank, (name, score) in enumerate(ranked, 1)
        ]


def _cosine(a: Embedding, b: Embedding) -> float:
    import numpy as np

    x, y = a.astype(np.float64), b.astype(np.float64)
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return 0.0 if length == 0 else min(1.0, max(-1.0, float(x @ y) / length))


def _ms(start: float) -> float:
    return (perf_counter() - start) * 1000
