"""What each half of a first stage finds for a query, and what fusing them hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, nearest
from secondpass.options import MODES
from secondpass.retrieve.fusion import fuse
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.types import Candidate, Document


@dataclass(frozen=True, slots=True)
class Entry:
    """One candidate, with the scores that `Index.search` would hand to its reranker.

    `document` is the id that is judged, where that is not its own: a passage counts as
    the document that it was cut from.
    """

    id: str
    bm25: float | None
    vector: float | None
    document: str | None = None

    @property
    def judged(self) -> str:
        """The id that judgements name."""
        return self.id if self.document is None else self.document


@dataclass(frozen=True)
class Halves:
    """What BM25 and the vectors find for one query, best first, to the same depth."""

    bm25: Sequence[Entry]
    vector: Sequence[Entry]

    def first(
        self,
        mode: str,
        depth: int,
        fusion: str = "rrf",
        weights: Sequence[float] | None = None,
    ) -> list[Entry]:
        """Return what `search` hands over in a mode with `depth` candidates.

        `depth` is at most that of the halves. In hybrid mode each half gives its first
        `depth`, which are fused and cut, so the result is no prefix of a deeper one.
        """
        check_mode(mode)
        if mode != "hybrid":
            return list((self.bm25 if mode == "bm25" else self.vector)[:depth])
        cut = Halves(self.bm25[:depth], self.vector[:depth])
        entries = self.entries
        return [entries[name] for name, _ in fuse(cut.rankings, fusion, weights)[:depth]]

    @property
    def rankings(self) -> list[list[tuple[str, float]]]:
        """Both halves as (id, score), as they are fused."""
        words = [(e.id, 0.0 if e.bm25 is None else e.bm25) for e in self.bm25]
        return [words, [(e.id, 0.0 if e.vector is None else e.vector) for e in self.vector]]

    @property
    def entries(self) -> dict[str, Entry]:
        """All candidates of both halves, by id."""
        return {e.id: e for e in (*self.vector, *self.bm25)}


def check_mode(mode: str) -> None:
    """Raise InputError where `mode` is none of MODES."""
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}", fix=nearest(str(mode), MODES))


@dataclass(frozen=True)
class FirstStageRuns:
    """What was found for every query, and the documents by the id of their passage."""

    halves: Mapping[str, Halves]
    documents: Mapping[str, Document]
    depth: int


def find(
    retriever: HybridRetriever,
    queries: Mapping[str, str],
    depth: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> FirstStageRuns:
    """Search both halves of a first stage for every query, to a depth of at least 1.

    Every candidate has both scores. `progress` is called with (done, total).
    """
    halves: dict[str, Halves] = {}
    documents: dict[str, Document] = {}
    for done, (query, text) in enumerate(queries.items(), 1):
        lists: list[list[Entry]] = []
        for mode in ("bm25", "vector"):
            if mode not in retriever.modes:
                lists.append([])
                continue
            got = retriever.search(text, mode=mode, candidates=depth).candidates
            documents |= {str(c.document.id): c.document for c in got}
            lists.append([entry(c) for c in got])
        halves[query] = Halves(*lists)
        if progress is not None:
            progress(done, len(queries))
    return FirstStageRuns(halves, documents, depth)


def entry(candidate: Candidate) -> Entry:
    """Return a candidate as an entry."""
    name = str(candidate.document.id)
    whole = judged_id(candidate.document)
    return Entry(name, candidate.bm25, candidate.vector, None if whole == name else whole)


def judged_id(document: Document) -> str:
    """Return the id that judgements name: that of the document a passage was cut from."""
    name = str(document.id)
    if "chunk" not in document.metadata:
        return name
    whole = document.metadata.get("document_id")
    # A user's own field of that name is no sign of a passage: its id would not fit.
    return whole if isinstance(whole, str) and name.startswith(f"{whole}#") else name
