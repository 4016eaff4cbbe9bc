"""Searching in two passes: retrieve candidates, rerank them, with all options of a search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from secondpass.boost_rules import parse_boosts
from secondpass.errors import FilterError, InputError
from secondpass.index.placement import check_placement
from secondpass.index.rounds import BestOfQueries, ReadOnce, reads_in_rounds
from secondpass.option_types import check_second_pass, declared, takes, with_defaults
from secondpass.options import Rerank, RerankOptions, SearchOptions
from secondpass.rerank.base import BaseReranker, too_long
from secondpass.rerank.inputs import (
    check_count,
    check_number,
    check_probability,
    check_query,
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
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from secondpass.answer import Answer
    from secondpass.answer.answer import AnswerOptions
    from secondpass.retrieve.backends.lance.store import LanceStore
    from secondpass.retrieve.embedder import Embedder


class Search:
    """Search over an index: what `Index` does besides writing."""

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

    async def asearch(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> RerankResponse:
        """Run `search` in a worker thread."""
        return await asyncio.to_thread(self.search, query, **options)

    def close(self) -> None:
        """Close files and threads; the index can be opened again."""
        self._retriever.close()
        self._rerankers.close()
        self._states.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
