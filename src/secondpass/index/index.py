"""The index: documents in a folder, searched by a first stage and reranked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from secondpass.boost_rules import parse_boosts
from secondpass.errors import FilterError, InputError
from secondpass.index.placement import check_placement
from secondpass.index.rounds import BestOfQueries, ReadOnce, reads_in_rounds
from secondpass.option_types import check_second_pass, declared, takes, with_defaults
from secondpass.options import Rerank, RerankOptions, SearchOptions
from secondpass.rerank.base import BaseReranker, too_long
from secondpass.rerank.inputs import (
    DocumentLike,
    check_count,
    check_ids,
    check_number,
    check_probability,
    check_query,
    to_candidates,
)
from secondpass.rerank.policies.fallback import check_chain, check_on_failure
from secondpass.types import (
    Candidate,
    Document,
    FirstStageScores,
    RankedDocument,
    RerankResponse,
    ScoreKind,
    Status,
    Usage,
    is_missing,
)

if TYPE_CHECKING:
    from types import TracebackType

    from secondpass.answer import Answer
    from secondpass.answer.answer import AnswerOptions
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.bm25 import TermScore
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.ingest import AsIndexed, IngestReport
    from secondpass.retrieve.retriever import HybridRetriever
    from secondpass.retrieve.store_protocol import TextEncoder, Version

__all__ = ["Index", "Rerank", "SearchOptions"]


class Index:
    """An index of documents with hybrid search (BM25 and vectors) and reranking.

    Open one with `Index.open`. Thread-safe; several processes may read while one writes.
    The async methods `aadd`, `adelete`, `acount`, `aoptimize`, `asearch` and `aanswer` run
    the method without the "a" in a worker thread.
    """

    def __init__(
        self, store: LanceStore, embedder: Embedder, *, reranker: BaseReranker | None = None
    ) -> None:
        from secondpass.index.candidates import CandidateSearch
        from secondpass.index.precompute import PrecomputedStates
        from secondpass.index.rerankers import IndexRerankers
        from secondpass.retrieve.retriever import HybridRetriever

        self.store = store
        self.embedder = embedder
        self._retriever = HybridRetriever(store, embedder)
        self._states = PrecomputedStates(
            store.folder, embedder, enabled=store.settings.keep_states
        )
        self._rerankers = IndexRerankers(self._states, reranker)
        self._candidates = CandidateSearch(store, self._retriever)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        create: bool = True,
        language: str | None = None,
        chunk_tokens: int | None = None,
        overlap: int = 32,
        embedder: Embedder | None = None,
        reranker: BaseReranker | None = None,
        keep_states: bool | None = None,
    ) -> Index:
        """Open the index in a folder; create one if there is none and `create` is True.

        - `language`: of stemming and stop words, for a new index; English by default.
        - `chunk_tokens`, `overlap`: split documents longer than `chunk_tokens` into passages
          of that many tokens, for a new index; None keeps documents whole.
        - `embedder`: the embedding model; the bundled one by default.
        - `reranker`: the reranker of `search`; by default the bundled one, loaded at the
          first search.
        - `keep_states`: whether a precomputed reranker over the same embedder stores the
          states of passages in the index's folder, so that a search encodes only its query;
          saved with the index, and True for a new one. A passage takes tokens * (codes + 2)
          + 4 * dimension bytes. After switching it off, `optimize` deletes stored states.

        Raises `IndexNotFoundError`, `IndexStoreError` for a folder that holds something
        else or an index made by another embedder, `MissingExtraError` without the extra
        `index`.
        """
        from secondpass.retrieve.backends.lance.open import open_index
        from secondpass.retrieve.embedder import Embedder

        embedder = Embedder() if embedder is None else embedder
        store = open_index(
            path,
            embedder,
            language=language,
            chunk_tokens=chunk_tokens,
            overlap=overlap,
            create=create,
            keep_states=keep_states,
        )
        return cls(store, embedder, reranker=reranker)

    def add(
        self,
        documents: Iterable[DocumentLike],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Store documents, replacing those with the same ids; return how many are stored now.

        Documents are written in batches, each atomically: a crash loses at most the current
        batch. A document without an id gets a hash of its content as id, so that adding it
        twice stores it once. Ids are text, whole numbers of any type or UUIDs, and are stored
        as text: 7.0 is "7". An id, a title or metadata that is NaN counts as absent. Of
        documents with the same id the last is stored, and they count as one; without title
        and text, none is.
        `progress` is called with the number of documents read since its last call.
        """
        from secondpass.retrieve.ingest import add_documents

        converted = (_without_missing(c.document) for c in to_candidates(documents))
        embedder = self.ingest_embedder()
        return add_documents(converted, self.store, embedder, progress=progress).stored

    def ingest_embedder(self) -> TextEncoder:
        """Return the embedder to pass to `ingest`: it also stores the reranker's states.

        The index's own embedder if its reranker uses no stored states.
        """
        return self._states.recording_embedder(self._rerankers.load_for_states())

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id; return how many were deleted."""
        return self.store.delete(check_ids("ids", ids))

    def count(self) -> int:
        """Return the number of documents."""
        return self.store.count_documents()

    def optimize(self) -> None:
        """Bring the search indexes up to date and merge small files, after many writes.

        Also removes stored states of passages that are no longer in the index, and makes those
        that `count_unread_windows` counts.
        """
        self.store.optimize()
        reranker = self._rerankers.load_for_states()
        self._states.remove_unused(reranker, self.store.iter_documents())
        self._states.read_unread(reranker, self.store.iter_documents())

    @takes(SearchOptions)
    def search(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> RerankResponse:
        """Find documents in two passes: retrieve candidates, then rerank them.

        `query` is a text, or a list of several wordings of it, the first of which is read and
        the others are its `query_variants`.

        Raises `InputError` for invalid arguments (`FilterError` for the filter) and
        `ModelError` if the reranker fails and `on_failure` is "raise". The options:
        """
        from secondpass.index.placement import (
            add_pinned,
            describe_groups,
            make_placement,
            pin_results,
        )

        started = time.perf_counter()
        chosen = _check_options(options)
        queries = check_queries(query, chosen["query_variants"])
        query, variants = queries[0], queries[1:]
        placement, version = make_placement(chosen), chosen["version"]
        store = self.store if version is None else self.store.checkout(version)
        reader: ReadOnce | None = None
        reranker: BaseReranker | None = None
        if chosen["rerank"] is False:
            check_second_pass(SearchOptions, chosen, why="rerank=False leaves it out")
        else:
            in_rounds = reads_in_rounds(chosen)

            def wrap(model: BaseReranker) -> BaseReranker:
                nonlocal reader
                if variants and chosen["variant_scores"] == "max":
                    model = BestOfQueries(model, variants)
                reader = ReadOnce(model) if in_rounds else None
                return model if reader is None else reader

            reranker = self._compose(chosen, store, wrap)
        retrieval = self._candidates.find(
            queries,
            chosen,
            complete_scores=reranker is not None,
            placement=placement if placement.drops else None,
            reader=reader,
        )
        candidates, pin_note = retrieval.candidates, None
        if chosen["pin"]:
            candidates, pin_note = add_pinned(store, self.embedder, query, candidates, chosen)
        if reranker is None:
            vector = chosen["mode"] == "vector" and not variants
            response = skipped_response(
                query,
                candidates,
                ScoreKind.SIMILARITY if vector else ScoreKind.RANK,
                return_documents=chosen["return_documents"],
            )
            minimum = chosen["min_score"]
            results = pin_results(response.results, chosen["pin"])
            results = [r for r in results if minimum is None or r.score >= minimum]
            response = replace(response, results=tuple(results[: chosen["top_k"]]))
        else:
            response = reranker.rerank(
                query,
                candidates,
                **{name: chosen[name] for name in declared(RerankOptions)},
            )
        timings = {name: ms for name, ms in retrieval.timings.items() if name != "total"}
        in_rounds_ms = timings.pop("read", 0.0)
        if reranker is not None:
            stages = ("rerank", "spans")
            timings |= {n: response.timings[n] for n in stages if n in response.timings}
            timings["rerank"] += in_rounds_ms
        timings["total"] = (time.perf_counter() - started) * 1000
        notes = [response.reason if candidates else "the first stage found nothing"]
        notes += [retrieval.note, describe_groups(retrieval, chosen, len(candidates)), pin_note]
        notes.append(None if chosen["mode"] == "vector" else self.store.keyword_note)
        reason = "; ".join(note for note in notes if note) or None
        unread = max(response.query_unread, retrieval.query_unread)
        if unread and not chosen["truncate"]:
            raise too_long("query", len(query), unread)
        return replace(response, timings=timings, reason=reason, query_unread=unread)

    def _compose(
        self,
        chosen: Mapping[str, Any],
        store: LanceStore,
        wrap: Callable[[BaseReranker], BaseReranker],
    ) -> BaseReranker:
        """Return the reranker of a search; boosts filter the passages of a store.

        `wrap` is that of `IndexRerankers.compose`.
        """
        boosts = parse_boosts(chosen["boost"])
        if not boosts:
            return self._rerankers.compose(chosen, wrap=wrap)
        for rule in boosts:
            if rule.filter is None:
                continue
            try:
                # A filter that cannot be used is an error even where nothing is found.
                store.matching((), rule.filter)
            except FilterError as error:
                what = f"the boost {rule.text!r:.200}: {error.what}"
                raise FilterError(what, why=error.why, fix=error.fix) from None

        def matches(condition: str, documents: Sequence[Document]) -> list[bool]:
            return store.matching(documents, condition)

        return self._rerankers.compose(
            chosen, wrap=wrap, matches=matches, known_fields=store.fields
        )

    def first_pass(
        self,
        query: str,
        *,
        mode: str = "hybrid",
        candidates: int = 50,
        filter: str | None = None,  # noqa: A002
        fusion: str = "rrf",
        weights: Sequence[float] | None = None,
    ) -> list[Candidate]:
        """Return the first-stage candidates of a search, with their BM25 and vector scores."""
        retrieval = self._retriever.search(
            check_query(query),
            mode=mode,
            candidates=candidates,
            filter=filter,
            fusion=fusion,
            weights=weights,
        )
        return retrieval.candidates

    def reranker(self, rerank: Rerank = True) -> BaseReranker:
        """Return the reranker of `search` without policies; it uses the index's stored states.

        It works as long as the index is open. Raises `InputError` for False.
        """
        if rerank is False:
            raise InputError("False names no reranker")
        return self._states.use_states(self._rerankers.load(rerank))

    def answer(self, query: str, **options: Unpack[AnswerOptions]) -> Answer:
        """Answer a question from search results, with numbered citations.

        Arguments and errors are those of `secondpass.answer.stream_answer`. `llm` names a
        language model; without it the answer is made of sentences of the passages.
        """
        from secondpass.answer import answer

        chosen: AnswerOptions = {"reranker": self.reranker(), **options}
        return answer(self, query, **chosen)

    async def aanswer(self, query: str, **options: Unpack[AnswerOptions]) -> Answer:
        """Run `answer` in a worker thread."""
        return await asyncio.to_thread(self.answer, query, **options)

    async def aadd(
        self,
        documents: Iterable[DocumentLike],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Run `add` in a worker thread."""
        return await asyncio.to_thread(self.add, documents, progress=progress)

    async def adelete(self, ids: Iterable[str]) -> int:
        """Run `delete` in a worker thread."""
        return await asyncio.to_thread(self.delete, ids)

    async def acount(self) -> int:
        """Run `count` in a worker thread."""
        return await asyncio.to_thread(self.count)

    async def aoptimize(self) -> None:
        """Run `optimize` in a worker thread."""
        await asyncio.to_thread(self.optimize)

    async def asearch(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> RerankResponse:
        """Run `search` in a worker thread."""
        return await asyncio.to_thread(self.search, query, **options)

    # The document store, for modules outside of `index` and `retrieve`.

    @property
    def folder(self) -> Path:
        """The index's folder."""
        return self.store.folder

    @property
    def language(self) -> str:
        """The language of stemming and stop words, "none" for neither."""
        return self.store.settings.language

    @property
    def dimension(self) -> int:
        """The length of a vector; 0 in an index without vectors."""
        return self.store.dimension

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each."""
        return self.store.fields

    @property
    def retriever(self) -> HybridRetriever:
        """The first stage that `search` uses; it is closed with the index."""
        return self._retriever

    def versions(self) -> list[Version]:
        """Return the states that the option `version` of a search can name, oldest first."""
        return self.store.versions()

    def count_passages(self) -> int:
        """Return the number of passages that documents were split into."""
        return self.store.count_passages()

    def count_unread_windows(self) -> int:
        """Return how many windows of passages have no stored states: searches encode them.

        They are those of long passages in an index of an earlier version, and of a file of
        states that was lost; `optimize` reads them. 0 where the reranker stores no states.
        """
        return self._states.count_unread(
            self._rerankers.load_for_states(), self.store.iter_documents()
        )

    def stored_ids(self, ids: Sequence[str]) -> set[str]:
        """Return those of these document ids that are stored."""
        return set(self.store.lookup(ids))

    def passages_of(self, document_id: str) -> list[Document]:
        """Return all passages of the document, or else the passage of this id; [] if none."""
        return [hit.document for hit in self.store.passages_of(document_id)]

    def matching(
        self,
        filter: str,  # noqa: A002
        documents: Sequence[Document],
    ) -> list[bool]:
        """Return which of these passages pass a filter, in their order; raises FilterError."""
        return self.store.matching(documents, filter)

    def iter_documents(
        self,
        filter: str | None = None,  # noqa: A002
    ) -> Iterator[list[Document]]:
        """Yield all passages that pass a filter, in batches, unordered."""
        return self.store.iter_documents(filter=filter)

    def score_passages_of(self, query: str, document_id: str) -> list[Candidate]:
        """Return what `passages_of` does, with BM25 and cosine."""
        from secondpass.index.placement import score_passages

        return score_passages(self.store, self.embedder, query, document_id)

    def term_scores(self, query: str, passages: Sequence[Document]) -> list[list[TermScore]]:
        """Return for each of these passages what each word of the query adds to its BM25."""
        from secondpass.retrieve.bm25 import term_scores

        return term_scores(self.store, query, passages)

    def add_documents(
        self,
        documents: Iterable[Document],
        embedder: TextEncoder,
        *,
        chunk_tokens: int | AsIndexed | None = "index",
        overlap: int | AsIndexed = "index",
    ) -> IngestReport:
        """Store documents as `add` does, with an embedder and chunking of the caller's choice.

        The embedder must be the index's own, or a wrapper of it.
        """
        from secondpass.retrieve.ingest import add_documents

        return add_documents(
            documents, self.store, embedder, chunk_tokens=chunk_tokens, overlap=overlap
        )

    def close(self) -> None:
        """Close files and threads; the index can be opened again."""
        self._retriever.close()
        self._rerankers.close()
        self._states.close()
        self.store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _without_missing(document: Document) -> Document:
    """Return the document without the NaN that pandas writes for absent values; None stays."""
    metadata = document.metadata
    missing = {k for k, v in metadata.items() if v is not None and is_missing(v)}
    if not missing:
        return document
    return replace(document, metadata={k: v for k, v in metadata.items() if k not in missing})


def check_queries(query: str | Sequence[str], variants: Sequence[str]) -> list[str]:
    """Return the distinct wordings of a query, the one that is read first.

    Raises `InputError` for an empty list, or one that has something else than text.
    """
    if isinstance(variants, str) or not isinstance(variants, Sequence):
        raise InputError(f"query_variants must be a list of texts, not {variants!r:.80}")
    texts = [query] if isinstance(query, str) or not isinstance(query, Sequence) else [*query]
    if not texts:
        raise InputError("The query is empty", fix="Pass the words to search for.")
    return list(dict.fromkeys(check_query(text) for text in (*texts, *variants)))


def _check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every option of a search; raises `InputError`."""
    chosen = with_defaults(SearchOptions, options)
    chosen["top_k"] = check_count("top_k", chosen["top_k"])
    chosen["min_score"] = check_number("min_score", chosen["min_score"])
    check_count("candidates", chosen["candidates"])
    check_probability("min_probability", chosen["min_probability"])
    check_chain(chosen["chain"])
    check_on_failure(chosen["on_failure"])
    check_placement(chosen)
    check_count("feedback", chosen["feedback"])
    for name in ("variant_scores", "adaptive"):
        why = declared(SearchOptions)[name].problem(chosen[name])
        if why is not None:
            raise InputError(f"{name} cannot be {chosen[name]!r}", why=why)
    return chosen


def skipped_response(
    query: str,
    candidates: Sequence[Candidate],
    kind: ScoreKind,
    *,
    return_documents: bool = True,
) -> RerankResponse:
    """Return candidates in first-stage order, with status "skipped"."""
    results = tuple(
        RankedDocument(
            index=i,
            rank=i + 1,
            score=0.0 if c.score is None else c.score,
            score_kind=kind,
            first_stage=FirstStageScores(i + 1, c.score, c.bm25, c.vector),
            id=c.document.id,
            document=c.document if return_documents else None,
            windows=0,
            scored=False,
            document_id=c.document.document_id,
            chunk=c.document.chunk,
        )
        for i, c in enumerate(candidates)
    )
    return RerankResponse(
        query=query,
        model=None,
        status=Status.SKIPPED,
        results=results,
        timings={},
        usage=Usage(documents=len(candidates)),
        reason="reranking was switched off",
    )
