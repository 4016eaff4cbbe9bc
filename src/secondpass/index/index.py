"""Both passes in one object: an index that retrieves and reranks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from secondpass.errors import InputError
from secondpass.option_types import check_second_pass, declared, takes, with_defaults
from secondpass.options import Rerank, RerankOptions, SearchOptions
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import (
    DocumentLike,
    check_count,
    check_number,
    check_probability,
    check_query,
    to_candidates,
)
from secondpass.rerank.policies.fallback import check_chain, check_on_failure
from secondpass.types import (
    Candidate,
    FirstStageScores,
    RankedDocument,
    RerankResponse,
    ScoreKind,
    Status,
    Usage,
)

if TYPE_CHECKING:
    from types import TracebackType

    from secondpass.answer import Answer
    from secondpass.answer.answer import AnswerOptions
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.lance.store import LanceStore
    from secondpass.retrieve.store_protocol import TextEncoder

__all__ = ["Index", "Rerank", "SearchOptions"]


class Index:
    """Documents that can be found by words and by meaning, best first.

    Open one with `Index.open`. One object may be used by several threads at once, and
    several processes may read while one writes. All methods have async twins, whose names
    begin with "a".
    """

    def __init__(
        self, store: LanceStore, embedder: Embedder, *, reranker: BaseReranker | None = None
    ) -> None:
        from secondpass.index.precompute import PrecomputedStates
        from secondpass.index.rerankers import IndexRerankers
        from secondpass.retrieve.retriever import Retriever

        self.store = store
        self.embedder = embedder
        self._retriever = Retriever(store, embedder)
        self._states = PrecomputedStates(
            store.folder, embedder, enabled=store.settings.keep_states
        )
        self._rerankers = IndexRerankers(self._states, reranker)

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
        """Open the index in a folder; make one there if there is none and `create` is True.

        - `language`: of stemming and stop words, for a new index; English by default.
        - `chunk_tokens`, `overlap`: cut documents that are longer into passages of that
          many tokens, for a new index; None keeps documents whole.
        - `embedder`: the model of the vectors; the bundled one by default.
        - `reranker`: what `search` reranks with; the bundled one, loaded at the first
          search, by default.
        - `keep_states`: whether a reranker that is a reader over the same embedder keeps
          what it computes of passages in the index's folder, so that a search encodes its
          query alone; remembered, and True for a new index. A passage takes its tokens
          times (codes + 2), and 4 times the dimension, in bytes. After switching it off,
          `optimize` removes what was kept.

        Raises `IndexNotFoundError`, `IndexStoreError` for a folder that holds something
        else or an index made by another embedder, `MissingExtraError` without the extra
        `index`.
        """
        from secondpass.retrieve.embedder import Embedder
        from secondpass.retrieve.lance.open import open_index

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
        """Store documents, replacing those whose ids are there; return how many.

        Documents are written in batches, each in one atomic step: a crash loses at most
        the batch under way. A document without an id gets one from its content, so that
        adding it twice stores it once. `progress` is called with the number of documents
        done since its last call.
        """
        from secondpass.retrieve.ingest import add_documents

        found = (c.document for c in to_candidates(documents))
        embedder = self.ingest_embedder()
        return add_documents(found, self.store, embedder, progress=progress).documents

    def ingest_embedder(self) -> TextEncoder:
        """Return the embedder to give to `ingest`: it keeps what the reranker will read.

        That of the index itself, where its reranker is no reader over it.
        """
        return self._states.embedding(self._rerankers.own())

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; return how many there were."""
        if isinstance(ids, str):
            raise InputError("ids must be a list", why="a single text was given")
        return self.store.delete(ids)

    def count(self) -> int:
        """Return the number of documents."""
        return self.store.documents()

    def optimize(self) -> None:
        """Bring the search indexes up to date and merge small files, after many writes.

        Also removes what a reader kept of passages that are gone.
        """
        self.store.optimize()
        self._states.tidy(self._rerankers.own(), self.store.each_document())

    @takes(SearchOptions)
    def search(self, query: str, **options: Unpack[SearchOptions]) -> RerankResponse:
        """Find documents in two passes: many candidates first, the best on top then.

        Raises `InputError` for arguments that cannot be used (among them `FilterError`),
        `ModelError` if the reranker fails and `on_failure` is "raise". The options:
        """
        started = time.perf_counter()
        query = check_query(query)
        chosen = _checked(options)
        if chosen["rerank"] is False:
            check_second_pass(SearchOptions, chosen, why="rerank=False leaves it out")
            reranker = None
        else:
            reranker = self._rerankers.composed(chosen)
        found = self._retriever.retrieve(
            query,
            mode=chosen["mode"],
            candidates=chosen["candidates"],
            filter=chosen["filter"],
            fusion=chosen["fusion"],
            weights=chosen["weights"],
            version=chosen["version"],
            complete_scores=reranker is not None,
        )
        if reranker is None:
            vector = chosen["mode"] == "vector"
            response = skipped_response(
                query,
                found.candidates,
                ScoreKind.SIMILARITY if vector else ScoreKind.RANK,
                return_documents=chosen["return_documents"],
            )
            least = chosen["min_score"]
            kept = [r for r in response.results if least is None or r.score >= least]
            response = replace(response, results=tuple(kept[: chosen["top_k"]]))
        else:
            response = reranker.rerank(
                query,
                found.candidates,
                **{name: chosen[name] for name in declared(RerankOptions)},
            )
        timings = {name: ms for name, ms in found.timings.items() if name != "total"}
        if reranker is not None:
            timings["rerank"] = response.timings["rerank"]
        timings["total"] = (time.perf_counter() - started) * 1000
        reason = response.reason if found.candidates else "the first pass found nothing"
        return replace(response, timings=timings, reason=reason)

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
        """Return what the first pass of a search hands over, with the scores of both halves."""
        found = self._retriever.retrieve(
            check_query(query),
            mode=mode,
            candidates=candidates,
            filter=filter,
            fusion=fusion,
            weights=weights,
        )
        return found.candidates

    def reranker(self, rerank: Rerank = True) -> BaseReranker:
        """Return what `search` reranks with, before any blend; it reads what is kept here.

        Works as long as the index is open. Raises `InputError` for False.
        """
        if rerank is False:
            raise InputError("False names no reranker")
        return self._states.reading(self._rerankers.named(rerank))

    def answer(self, query: str, **options: Unpack[AnswerOptions]) -> Answer:
        """Answer a question from what `search` finds, with numbered citations.

        The arguments, and the errors, are those of `secondpass.answer.stream_answer`:
        among them `llm`, the name of a language model, without which the answer is
        sentences of the passages.
        """
        from secondpass.answer import answer

        chosen: AnswerOptions = {"reranker": self._rerankers.named(True), **options}
        return answer(self, query, **chosen)

    async def aanswer(self, query: str, **options: Unpack[AnswerOptions]) -> Answer:
        """Do as `answer`, in a worker thread."""
        return await asyncio.to_thread(self.answer, query, **options)

    async def aadd(
        self,
        documents: Iterable[DocumentLike],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Do as `add`, in a worker thread."""
        return await asyncio.to_thread(self.add, documents, progress=progress)

    async def adelete(self, ids: Iterable[str]) -> int:
        """Do as `delete`, in a worker thread."""
        return await asyncio.to_thread(self.delete, ids)

    async def acount(self) -> int:
        """Do as `count`, in a worker thread."""
        return await asyncio.to_thread(self.count)

    async def aoptimize(self) -> None:
        """Do as `optimize`, in a worker thread."""
        await asyncio.to_thread(self.optimize)

    async def asearch(self, query: str, **options: Unpack[SearchOptions]) -> RerankResponse:
        """Do as `search`, in a worker thread."""
        return await asyncio.to_thread(self.search, query, **options)

    def close(self) -> None:
        """Let go of files and threads; the index can be opened again."""
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


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every option of a search; raises `InputError`."""
    chosen = with_defaults(SearchOptions, options)
    chosen["top_k"] = check_count("top_k", chosen["top_k"])
    chosen["min_score"] = check_number("min_score", chosen["min_score"])
    check_count("candidates", chosen["candidates"])
    check_probability("min_probability", chosen["min_probability"])
    check_chain(chosen["chain"])
    check_on_failure(chosen["on_failure"])
    return chosen


def skipped_response(
    query: str,
    candidates: Sequence[Candidate],
    kind: ScoreKind,
    *,
    return_documents: bool = True,
) -> RerankResponse:
    """Return candidates in the first pass's order, with status "skipped"."""
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
