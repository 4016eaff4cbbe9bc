"""Hybrid retriever: BM25, vectors or both over a searchable store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from secondpass.errors import InputError, nearest
from secondpass.inference.query_cut import QueryCut
from secondpass.observe import stage
from secondpass.options import MODES
from secondpass.retrieve.expansion import Expansion
from secondpass.retrieve.fusion import check_method
from secondpass.retrieve.groups import Placement, place
from secondpass.retrieve.hybrid import (
    Halves,
    HybridHit,
    Submit,
    cosine_similarity,
    fuse_hits,
    merge_hits,
    search_halves,
)
from secondpass.retrieve.protocol import RetrieverInfo
from secondpass.retrieve.store_protocol import (
    CutsQueries,
    ForeignStore,
    Hit,
    Hits,
    SearchableStore,
    TextEncoder,
    Versioned,
)
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


MAX_QUERY_CHARACTERS = 100_000
"""The longest query that is searched for."""
MAX_DEPTH = 10_000
"""How many passages each half of a search returns at most to find enough groups."""
_DEEPER = 4
"""How much deeper each further search of the same query is."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The candidates of one query, best first.

    `timings` is in milliseconds: "embed", "bm25", "vector", "fusion" and "total". BM25 runs
    at the same time as embedding and vector search; a stage that did not run is absent.
    `query_unread` is how many characters of the query were not embedded. `embedding` is what
    cosines were computed with, None where nothing was embedded. `note` is what else was left
    out: halves that a database does not have, and rows that cannot be candidates.

    With groups or hidden documents, `depth` is how many passages were looked at, `groups` of
    how many groups the candidates are, and `without` how many of them have no value to group
    by; `exhausted` says that there are fewer candidates than were asked for, though all
    passages that match, or `MAX_DEPTH`, were looked at.
    """

    candidates: list[Candidate]
    timings: dict[str, float]
    query_unread: int = 0
    embedding: Embedding | None = None
    note: str | None = None
    depth: int = 0
    groups: int = 0
    without: int = 0
    exhausted: bool = False


class HybridRetriever:
    """A `Retriever` over one store; safe to use from several threads.

    Without an embedder, or over a store without vectors, only mode "bm25" works; over one
    without keyword search only "vector". A `ForeignStore` is closed with the retriever, and
    what only one half found of it keeps the score of that half alone.
    """

    def __init__(self, store: SearchableStore, embedder: TextEncoder | None = None) -> None:
        self.store = store
        self.embedder = embedder
        self._foreign = store if isinstance(store, ForeignStore) else None
        # Arrow keeps memory for each thread that reads with it, so only a few threads read.
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="secondpass-first-pass")

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that this store and embedder allow; the first is the default."""
        vectors = self.embedder is not None and bool(self.store.dimension)
        if self._foreign is not None and self._foreign.info.ranking is None:
            return ("vector",)
        return MODES if vectors else ("bm25",)

    def describe(self) -> RetrieverInfo:
        """Return what can be searched and filtered; a `ForeignStore` also says what it is."""
        info = RetrieverInfo(self.modes, self.store.fields, self.store.count_passages())
        if self._foreign is None:
            return info
        of = self._foreign.info
        return replace(info, name=of.name, engine=of.engine, ranking=of.ranking, note=of.note)

    def retrieve(
        self,
        query: str,
        k: int = 50,
        filter: str | None = None,  # noqa: A002 - the field's own word
    ) -> list[Candidate]:
        """Return up to `k` candidates with both scores, in the first mode there is."""
        return self.search(query, mode=self.modes[0], candidates=k, filter=filter).candidates

    def search(
        self,
        query: str,
        *,
        mode: str = "hybrid",
        candidates: int = 50,
        filter: str | None = None,  # noqa: A002
        fusion: str = "rrf",
        weights: Sequence[float] | None = None,
        version: int | None = None,
        complete_scores: bool = True,
        placement: Placement | None = None,
        expansion: Expansion | None = None,
    ) -> Retrieved:
        """Return up to `candidates` passages, with the scores of both halves and timings.

        In hybrid mode each half returns `candidates` hits, which `fusion` merges with
        `weights` (BM25, vector). The score of a candidate is the fused one, or that of the
        only half. With `complete_scores`, a candidate that one half did not return is scored
        by it too: its cosine, and its BM25, 0.0 where it shares no word with the query.
        `expansion` is what feedback adds to the query, in both halves.

        `placement` keeps some passages of each group and drops hidden ones; each half then
        returns more hits, until enough are left or there are no more. Ranks count those that
        are left.

        Raises InputError for an unknown mode or fusion, or fewer than 1 candidate, and
        FilterError for a filter that cannot be used.
        """
        check_method(fusion)
        self._check(query, mode, candidates)
        with stage("first_pass", query=query, mode=mode, candidates=candidates) as attributes:
            start = perf_counter()
            store = self.store if version is None else self._checkout(version)
            timer = _Timer()
            read = self._cut_query(query)
            if placement is not None:
                placement.check(store.fields)
            depth, vector = candidates, None
            while True:
                halves = self._search_halves(
                    store,
                    query,
                    mode,
                    depth,
                    filter,
                    complete=complete_scores,
                    timer=timer,
                    embedding=vector,
                    expansion=expansion,
                )
                began = perf_counter()
                vector = halves.embedding
                embedding = vector if complete_scores else None
                hits = merge_hits(halves.bm25, halves.vector, embedding=embedding)
                ranked = rank_hits(hits, mode, fusion, weights)[:depth]
                if placement is None:
                    break
                looked_at = len(ranked)
                kept = place([hit.document for hit in ranked], placement)
                ranked = [ranked[i] for i in kept.positions[:candidates]]
                if len(ranked) == candidates or looked_at < depth or depth >= MAX_DEPTH:
                    break
                depth = max(candidates, min(MAX_DEPTH, _DEEPER * depth))
            if embedding is not None and self._foreign is None:
                ranked = self._pool.submit(
                    complete_bm25, store, query, ranked, expansion
                ).result()
            result = [to_candidate(hit, rank) for rank, hit in enumerate(ranked, 1)]
            timer.milliseconds["fusion"] = _milliseconds_since(began)
            timer.milliseconds["total"] = _milliseconds_since(start)
            attributes["documents"] = len(result)
        unread = 0 if halves.embedding is None else read.unread
        note = None
        if self._foreign is not None:
            notes = [self._foreign.info.note, *describe_left_out(halves)]
            note = "; ".join(text for text in notes if text is not None) or None
        if placement is None:
            return Retrieved(result, timer.milliseconds, unread, halves.embedding, note)
        return Retrieved(
            result,
            timer.milliseconds,
            unread,
            halves.embedding,
            note,
            depth=looked_at,
            groups=kept.groups,
            without=kept.without,
            exhausted=len(ranked) < candidates,
        )

    def score_passages(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        embedding: Embedding | None,
        version: int | None = None,
        expansion: Expansion | None = None,
    ) -> list[Candidate]:
        """Return stored passages as candidates of a query, in their order, without ranks.

        `embedding` is that of `Retrieved`; None leaves the cosines out.
        """
        store = self.store if version is None else self._checkout(version)

        def score() -> list[Candidate]:
            vectors = {} if embedding is None else store.embeddings(documents)
            hits = [HybridHit(d) for d in documents]
            if self._foreign is None:
                hits = complete_bm25(store, query, hits, expansion)
            return [
                Candidate(
                    hit.document,
                    bm25=hit.bm25,
                    vector=cosine_similarity(embedding, vectors[hit.key])
                    if embedding is not None and hit.key in vectors
                    else None,
                )
                for hit in hits
            ]

        return self._pool.submit(score).result()

    def embeddings(
        self, documents: Sequence[Document], *, version: int | None = None
    ) -> dict[str, Embedding]:
        """Return the vectors of stored passages, by key, of those that have one."""
        store = self.store if version is None else self._checkout(version)
        return self._pool.submit(store.embeddings, documents).result()

    def find_neighbors(
        self,
        documents: Sequence[Document],
        limit: int,
        *,
        filter: str | None = None,  # noqa: A002
        version: int | None = None,
    ) -> list[list[Document]]:
        """Return for each stored passage the `limit` nearest others, nearest first.

        Near is by the cosine of their vectors; a passage without one has no neighbors.
        """
        store = self.store if version is None else self._checkout(version)
        vectors = self.embeddings(documents, version=version)

        def search(document: Document) -> list[Document]:
            if document.key not in vectors:
                return []
            hits = store.vector(vectors[document.key], limit + 1, filter)
            return [hit.document for hit in hits if hit.key != document.key][:limit]

        return list(self._pool.map(search, documents))

    def search_hits(
        self,
        query: str,
        *,
        mode: str = "hybrid",
        limit: int = 50,
        filter: str | None = None,  # noqa: A002
        all_words: bool = False,
        min_similarity: float | None = None,
        tolerate: tuple[type[Exception], ...] = (),
        submit: Submit | None = None,
    ) -> list[HybridHit]:
        """Return up to `limit` hits of each half, with both scores and ranks, not fused.

        For callers that fuse by `fuse_hits`, or after dropping hits by `filter_hits`.
        `all_words`: BM25 hits have each word of the query; `min_similarity`: of vector hits;
        `tolerate`, `submit`: see `search_halves`. Raises as `search` does.
        """
        self._check(query, mode, limit)
        halves = self._search_halves(
            self.store,
            query,
            mode,
            limit,
            filter,
            complete=mode == "hybrid",
            all_words=all_words,
            tolerate=tolerate,
            submit=submit,
        )
        return merge_hits(
            halves.bm25,
            halves.vector,
            embedding=halves.embedding,
            min_similarity=min_similarity,
        )

    def close(self) -> None:
        """End the threads of this retriever; the store stays open, but for a `ForeignStore`."""
        self._pool.shutdown()
        if self._foreign is not None:
            self._foreign.close()

    def _search_halves(
        self,
        store: SearchableStore,
        query: str,
        mode: str,
        limit: int,
        condition: str | None,
        *,
        complete: bool,
        all_words: bool = False,
        tolerate: tuple[type[Exception], ...] = (),
        submit: Submit | None = None,
        timer: _Timer | None = None,
        embedding: Embedding | None = None,
        expansion: Expansion | None = None,
    ) -> Halves:
        """Search the halves of a mode; `complete` also fetches what completes the cosines.

        `embedding` is that of the query, where it is known.
        """
        time = _Timer() if timer is None else timer
        embedder = self.embedder if store.dimension else None

        def search_bm25() -> list[Hit]:
            embeddings = complete and embedder is not None
            with time.stage("bm25"):
                return store.bm25(
                    query,
                    limit,
                    condition,
                    embeddings=embeddings,
                    all_words=all_words,
                    weights=_word_weights(expansion),
                )

        def embed() -> Embedding:
            if embedding is not None:
                return embedding
            assert embedder is not None
            with time.stage("embed"):
                vector: Embedding = embedder.encode([self._cut_query(query).text])[0]
                return vector if expansion is None else expansion.move(vector)

        def search_vector(embedding: Embedding) -> list[Hit]:
            with time.stage("vector"):
                return store.vector(embedding, limit, condition)

        needs_embedding = embedder is not None and (complete or mode != "bm25")
        return search_halves(
            bm25=None if mode == "vector" else search_bm25,
            embed=(embed if submit else lambda: self._pool.submit(embed).result())
            if needs_embedding
            else None,
            vector=None if mode == "bm25" else search_vector,
            submit=self._pool.submit if submit is None else submit,
            tolerate=tolerate,
        )

    def _cut_query(self, query: str) -> QueryCut:
        """Return what vector search reads of a query; BM25 reads all of it."""
        if isinstance(self.embedder, CutsQueries):
            return self.embedder.cut_query(query)
        return QueryCut(query, 0)

    def _checkout(self, version: int) -> SearchableStore:
        if not isinstance(self.store, Versioned):
            raise InputError(
                f"there is no version {version}", why="this store keeps no earlier states"
            )
        return self.store.checkout(version)

    def _check(self, query: str, mode: str, candidates: int) -> None:
        if not isinstance(query, str):
            raise InputError("the query is not text", why=f"it is a {type(query).__name__}")
        check_query_length(query)
        if mode not in MODES:
            raise InputError(f"unknown mode {mode!r}", fix=nearest(str(mode), MODES))
        if type(candidates) is not int or candidates < 1:
            raise InputError(
                "candidates cannot be used",
                why=f"it is {candidates!r}",
                fix="Give a whole number from 1 up, such as 50.",
            )
        if mode not in self.modes:
            if mode == "bm25":
                raise InputError(
                    "there is no keyword search here",
                    why=None if self._foreign is None else self._foreign.info.note,
                    fix="Search with mode 'vector'.",
                )
            why = (
                "no embedder was given" if self.store.dimension else "the index has no vectors"
            )
            raise InputError(
                f"mode {mode!r} needs vectors", why=why, fix="Search with mode 'bm25'."
            )


def check_query_length(query: str) -> None:
    """Raise `InputError` for a query that would take a second or more in the first pass."""
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(
            "The query is too long to search with",
            why=f"it has {len(query):,} characters, and at most {MAX_QUERY_CHARACTERS:,} are "
            "searched for",
            fix="Search with a part of it.",
        )


def rank_hits(
    hits: Sequence[HybridHit], mode: str, fusion: str, weights: Sequence[float] | None
) -> list[HybridHit]:
    """Order hits by the fused score, or by that of the only half."""
    if mode == "hybrid":
        return fuse_hits(hits, fusion, weights)
    scored = [replace(h, score=(h.bm25 if mode == "bm25" else h.vector) or 0.0) for h in hits]
    return sorted(scored, key=lambda hit: (-hit.score, hit.key))


def describe_left_out(halves: Halves) -> list[str]:
    """Return how many rows each half found that cannot be candidates, and why."""
    notes = []
    for half, hits in (("keyword", halves.bm25), ("vector", halves.vector)):
        if isinstance(hits, Hits) and hits.left_out:
            parts = [
                f"{count} {'row' if count == 1 else 'rows'} {reason}"
                for reason, count in hits.left_out.items()
            ]
            notes.append(f"left out by {half} search: {', '.join(parts)}")
    return notes


def _word_weights(expansion: Expansion | None) -> Mapping[str, float] | None:
    return None if expansion is None or not expansion.words else expansion.words


def complete_bm25(
    store: SearchableStore,
    query: str,
    hits: Sequence[HybridHit],
    expansion: Expansion | None = None,
) -> list[HybridHit]:
    """Return the hits, each with a BM25; 0.0 where it shares no word with the query."""
    missing = [hit.document for hit in hits if hit.bm25 is None]
    if not missing:
        return list(hits)
    weights = _word_weights(expansion)
    found = store.bm25(query, len(missing), passages=missing, weights=weights)
    scores = {hit.key: hit.score for hit in found}
    return [
        replace(hit, bm25=scores.get(hit.key, 0.0)) if hit.bm25 is None else hit for hit in hits
    ]


def to_candidate(hit: HybridHit, rank: int) -> Candidate:
    """Return a hit as the candidate of a reranker."""
    return Candidate(hit.document, score=hit.score, rank=rank, bm25=hit.bm25, vector=hit.vector)


class _Timer:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record how long the block took."""
        start = perf_counter()
        yield
        spent = self.milliseconds.get(name, 0.0)
        self.milliseconds[name] = spent + _milliseconds_since(start)


def _milliseconds_since(start: float) -> float:
    return (perf_counter() - start) * 1000
