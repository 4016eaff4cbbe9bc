"""The candidates of a search: of one query or several, with feedback, extended while read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError, TextTooLongError
from secondpass.index.adaptive import NEIGHBORS, read_adaptively
from secondpass.index.feedback import Examples, expand, find_examples, read_with_feedback
from secondpass.index.rounds import ReadOnce, Rounds
from secondpass.retrieve.fusion import rrf
from secondpass.retrieve.groups import Placement, place
from secondpass.retrieve.retriever import Retrieved
from secondpass.retrieve.store_protocol import Hit, PassageStore
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.index.first_stage import FirstStage


class CandidateSearch:
    """A first stage, with what options add to it; thread-safe.

    `store` is None where the source of the candidates is not asked for documents by id.
    """

    def __init__(self, store: PassageStore | None, retriever: FirstStage) -> None:
        self._store = store
        self._retriever = retriever

    def find(
        self,
        queries: Sequence[str],
        chosen: Mapping[str, Any],
        *,
        complete_scores: bool,
        placement: Placement | None = None,
        reader: ReadOnce | None = None,
    ) -> Retrieved:
        """Return the candidates of one search, the first query being the one that is read.

        `placement` keeps some passages of each group and drops hidden ones. `reader` reads in
        rounds, for the options `adaptive` and `feedback`. In the timings, "read" is what it
        took, and "expand" the search for what else to read.
        """
        version = chosen["version"]
        examples = Examples()
        if chosen["like"] or chosen["unlike"]:
            store: Any = self._store
            state = store if version is None else store.checkout(version)
            examples = find_examples(state, chosen["like"], chosen["unlike"])
        search = _Search(self._retriever, chosen, examples, placement, complete_scores)
        retrieved = search.fuse([search.run(query) for query in queries], queries[0])
        if reader is None:
            return retrieved
        if chosen["adaptive"] and retrieved.embedding is None and retrieved.candidates:
            raise InputError(
                "adaptive needs vectors", why="the index has none", fix="Leave it out."
            )
        began = perf_counter()
        rounds = Rounds(reader, queries[0], chosen, chosen["candidates"])
        if chosen["adaptive"]:
            read_adaptively(
                retrieved.candidates,
                rounds,
                search.find_neighbors,
                lambda found: search.to_candidates(queries[0], found, retrieved),
            )
        else:
            read_with_feedback(
                retrieved.candidates,
                rounds,
                chosen["feedback"],
                lambda best: search.run_again(queries[0], best, retrieved),
            )
        found = rank_new(rounds.fill(retrieved.candidates), len(retrieved.candidates))
        expand_ms = (perf_counter() - began) * 1000 - rounds.milliseconds
        timings = {"read": rounds.milliseconds, "expand": expand_ms}
        return replace(retrieved, candidates=found, timings={**retrieved.timings, **timings})


class _Search:
    """The searches of one call of `CandidateSearch.find`."""

    def __init__(
        self,
        retriever: FirstStage,
        chosen: Mapping[str, Any],
        examples: Examples,
        placement: Placement | None,
        complete_scores: bool,
    ) -> None:
        self._retriever = retriever
        self._chosen, self._examples, self._placement = chosen, examples, placement
        self._complete_scores = complete_scores
        self._limit: int = chosen["candidates"]

    def run(self, query: str, examples: Examples | None = None) -> Retrieved:
        """Search for a query with its examples, which may be others than the caller's."""
        chosen, excluded = self._chosen, self._examples.excluded
        retrieved = self._retriever.search(
            query,
            mode=chosen["mode"],
            candidates=self._limit + len(excluded),
            filter=chosen["filter"],
            fusion=chosen["fusion"],
            weights=chosen["weights"],
            version=chosen["version"],
            complete_scores=self._complete_scores,
            placement=self._placement,
            expansion=expand(query, self._examples if examples is None else examples),
        )
        if not excluded:
            return retrieved
        kept = [c for c in retrieved.candidates if c.document.key not in excluded]
        kept = [replace(c, rank=rank) for rank, c in enumerate(kept[: self._limit], 1)]
        return replace(retrieved, candidates=kept)

    def fuse(self, found: Sequence[Retrieved], query: str) -> Retrieved:
        """Fuse the candidates of several queries by reciprocal rank; scores are the first's."""
        first = found[0]
        if len(found) == 1:
            return first
        by_key = {c.document.key: c for r in reversed(found) for c in r.candidates}
        rankings = [
            [(c.document.key, -float(rank)) for rank, c in enumerate(r.candidates)]
            for r in found
        ]
        fused = rrf(rankings)
        if self._placement is not None:
            kept = place([by_key[key].document for key, _ in fused], self._placement)
            fused = [fused[i] for i in kept.positions]
            first = replace(
                first,
                depth=max(r.depth for r in found),
                groups=kept.groups,
                without=kept.without,
                exhausted=len(fused) < self._limit and all(r.exhausted for r in found),
            )
        fused = fused[: self._limit]
        own = {c.document.key for c in first.candidates}
        others = [by_key[key].document for key, _ in fused if key not in own]
        if self._complete_scores and others:
            scored = self.to_candidates(query, others, first)
            by_key |= {c.document.key: c for c in scored}
        candidates = [
            replace(by_key[key], score=score, rank=rank)
            for rank, (key, score) in enumerate(fused, 1)
        ]
        timings: dict[str, float] = {}
        for retrieved in found:
            for name, ms in retrieved.timings.items():
                timings[name] = timings.get(name, 0.0) + ms
        unread = sum(retrieved.query_unread for retrieved in found[1:])
        if unread and not self._chosen["truncate"]:
            raise TextTooLongError(
                "A query variant is too long",
                why=f"{unread} of its characters would not be embedded, and truncate is False",
                fix="Shorten it, or leave truncate out to have a part of it read.",
            )
        notes = [retrieved.note for retrieved in found]
        if unread:
            notes.append(f"{unread} characters of query variants were not embedded")
        note = "; ".join(dict.fromkeys(text for text in notes if text)) or None
        return replace(first, candidates=candidates, timings=timings, note=note)

    def find_neighbors(self, documents: Sequence[Document]) -> list[list[Document]]:
        """Return the nearest passages that pass the filter and may be results."""
        hidden = frozenset() if self._placement is None else self._placement.hidden
        excluded = self._examples.excluded
        found = self._retriever.find_neighbors(
            documents,
            NEIGHBORS + len(excluded) + len(hidden),
            filter=self._chosen["filter"],
            version=self._chosen["version"],
        )

        def may_be_result(document: Document) -> bool:
            shown = self._placement is None or not self._placement.hides(document)
            return shown and document.key not in excluded

        return [list(filter(may_be_result, near))[:NEIGHBORS] for near in found]

    def to_candidates(
        self, query: str, documents: Sequence[Document], retrieved: Retrieved
    ) -> list[Candidate]:
        """Return passages with the scores that the first search of the query gives them."""
        if not documents:
            return []
        return self._retriever.score_passages(
            query,
            documents,
            embedding=retrieved.embedding,
            version=self._chosen["version"],
            expansion=expand(query, self._examples),
        )

    def run_again(
        self, query: str, best: Sequence[Document], retrieved: Retrieved
    ) -> list[Candidate]:
        """Search with documents that read well as further examples of what is relevant."""
        vectors = self._retriever.embeddings(best, version=self._chosen["version"])
        read = [Hit(0.0, document, vectors.get(document.key)) for document in best]
        examples = Examples([*self._examples.like, *read], self._examples.unlike)
        again = self.run(query, examples)
        documents = [c.document for c in again.candidates]
        known = {c.document.key: c for c in retrieved.candidates}
        new = [d for d in documents if d.key not in known]
        known |= {c.document.key: c for c in self.to_candidates(query, new, retrieved)}
        return [known[document.key] for document in documents]


def rank_new(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return the candidates in first-stage order; those it did not find come after it."""
    ranked = sorted((c for c in candidates if c.rank is not None), key=lambda c: c.rank or 0)
    new = [c for c in candidates if c.rank is None]
    return ranked + [replace(c, rank=count + n) for n, c in enumerate(new, 1)]
