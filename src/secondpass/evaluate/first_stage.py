"""First-stage runs: the BM25 and vector rankings of each query, and their fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.options import MODES
from secondpass.retrieve.fusion import fuse
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.index.first_stage import FirstStage


@dataclass(frozen=True, slots=True)
class FirstStageCandidate:
    """A candidate with the scores that `Index.search` would hand to its reranker.

    `id` is the `key` of the passage, which no other has. `document_id` is the id in the qrels,
    where that is another: a passage counts as the document that it was cut from.
    """

    id: str
    bm25: float | None
    vector: float | None
    document_id: str | None = None

    @classmethod
    def from_candidate(cls, candidate: Candidate) -> FirstStageCandidate:
        """Return a candidate without its text."""
        key, document_id = candidate.document.key, str(candidate.document.document_id)
        return cls(
            key,
            candidate.bm25,
            candidate.vector,
            None if document_id == key else document_id,
        )

    @property
    def judged_id(self) -> str:
        """The id that qrels name."""
        return self.id if self.document_id is None else self.document_id


@dataclass(frozen=True)
class FirstStageRankings:
    """The BM25 and the vector ranking of one query, best first, to the same depth.

    `single` is the ranking of a source that has another one, which is not fused; the others are
    then empty.
    """

    bm25: Sequence[FirstStageCandidate]
    vector: Sequence[FirstStageCandidate]
    single: Sequence[FirstStageCandidate] = ()

    def candidates(
        self,
        mode: str,
        depth: int,
        fusion: str = "rrf",
        weights: Sequence[float] | None = None,
    ) -> list[FirstStageCandidate]:
        """Return the candidates that a search in this mode hands to its reranker.

        `depth` is at most that of the rankings. In hybrid mode the first `depth` of each
        are fused and cut, so the result is not a prefix of a deeper one.
        """
        check_mode(mode)
        if self.single:
            return list(self.single[:depth])
        if mode != "hybrid":
            return list((self.bm25 if mode == "bm25" else self.vector)[:depth])
        cut = self.cut(depth)
        by_id = cut.by_id
        return [by_id[name] for name, _ in fuse(cut.scored_ids, fusion, weights)[:depth]]

    def cut(self, depth: int) -> FirstStageRankings:
        """Return both rankings to a depth."""
        return FirstStageRankings(self.bm25[:depth], self.vector[:depth], self.single[:depth])

    @property
    def scored_ids(self) -> list[list[tuple[str, float]]]:
        """Both rankings as (id, score), for fusion."""
        return [
            [(c.id, 0.0 if c.bm25 is None else c.bm25) for c in self.bm25],
            [(c.id, 0.0 if c.vector is None else c.vector) for c in self.vector],
        ]

    @property
    def by_id(self) -> dict[str, FirstStageCandidate]:
        """The candidates of all rankings, by id, with what each says of their scores."""
        found = {c.id: c for c in (*self.single, *self.vector)}
        for candidate in self.bm25:
            other = found.get(candidate.id)
            if other is not None and candidate.vector is None:
                candidate = replace(candidate, vector=other.vector)
            found[candidate.id] = candidate
        return found


@dataclass(frozen=True)
class FirstStageRuns:
    """The rankings of every query by its id, and the passages by their keys.

    `vectors` are those of the passages that are stored with one, by key; empty unless they
    were asked for.
    """

    rankings: Mapping[str, FirstStageRankings]
    passages: Mapping[str, Document]
    depth: int
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def run_first_stage(
    retriever: FirstStage,
    queries: Mapping[str, str],
    depth: int,
    *,
    with_vectors: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> FirstStageRuns:
    """Retrieve by BM25 and by vectors for every query, to a depth of at least 1.

    A source with one ranking of its own is searched for that. Every candidate of an index has
    both scores. With `with_vectors` the stored vectors of the candidates are looked up too.
    `progress` is called with (done, total).
    """
    rankings: dict[str, FirstStageRankings] = {}
    passages: dict[str, Document] = {}
    vectors: dict[str, NDArray[np.float32]] = {}
    modes = retriever.modes
    for done, (query, text) in enumerate(queries.items(), 1):
        lists: list[list[FirstStageCandidate]] = []
        new: dict[str, Document] = {}
        # A source that names no modes is searched in the default one.
        for mode in ("bm25", "vector") if modes else ("bm25", "vector", "hybrid"):
            if mode not in (modes or ("hybrid",)):
                lists.append([])
                continue
            retrieved = retriever.search(text, mode=mode, candidates=depth).candidates
            new |= {c.document.key: c.document for c in retrieved}
            lists.append([FirstStageCandidate.from_candidate(c) for c in retrieved])
        rankings[query] = FirstStageRankings(*lists)
        if with_vectors:
            unknown = [document for key, document in new.items() if key not in passages]
            vectors |= retriever.embeddings(unknown)
        passages |= new
        if progress is not None:
            progress(done, len(queries))
    return FirstStageRuns(rankings, passages, depth, vectors)


def check_mode(mode: str) -> None:
    """Raise InputError for an unknown first-stage mode."""
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}", fix=nearest(str(mode), MODES))
