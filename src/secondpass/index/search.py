"""Searching in two passes: retrieve candidates, rerank them, with all options of a search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from secondpass.boost_rules import parse_boosts
from secondpass.errors import FilterError, InputError
from secondpass.index.capabilities import (
    check_offers,
    fields_of,
    find_passage_store,
    match_metadata,
    name_of,
    note_of,
    roles_of,
    unused_options,
)
from secondpass.index.placement import check_placement
from secondpass.index.rounds import BestOfQueries, ReadOnce, reads_in_rounds
from secondpass.option_types import check_second_pass, declared, takes, with_defaults
from secondpass.option_values import RESCORE_AUTO, RESCORE_NONE
from secondpass.options import Rerank, RerankOptions, SearchOptions
from secondpass.rerank.base import BaseReranker, too_long
from secondpass.rerank.inputs import (
    check_count,
    check_number,
    check_probability,
    check_query,
)
from secondpass.rerank.policies.fallback import check_chain, check_on_failure
from secondpass.rerank.question import is_question
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
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from secondpass.answer import Answer
    from secondpass.answer.answer import AnswerOptions
    from secondpass.index.first_stage import FirstStage, RetrieverLike
    from secondpass.index.rerankers import KeptForModels
    from secondpass.rerank.boost_values import Matches
    from secondpass.retrieve.bm25 import TermScore
    from secondpass.retrieve.protocol import RetrieverInfo
    from secondpass.retrieve.retriever import Retrieved
    from secondpass.retrieve.store_protocol import PassageStore, TextEncoder

_ONLY = {
    "bm25": "searched by words only: there are no vectors here",
    "vector": "searched by vectors only: there is no keyword search here",
}


class Search:
    """Search in two passes over any source of candidates, such as a database.

    - `retriever`: an object with `retrieve(query, k, filter)`, which returns candidates, best
      first; a function of the same arguments; a retriever of LangChain; or the URL of a
      database, such as "sqlite:///file.db?table=docs".
    - `reranker`: a reranker, or the name of one; the bundled one by default, loaded at the
      first search.
    - `embedder`: for a URL, what queries are embedded by, as the vectors there were made.
    - `states`: the token states that an `Index` keeps of its passages; None elsewhere.

    `search`, `answer`, `secondpass.explain` and `secondpass.evaluate` work as over an `Index`,
    which is a `Search` that also stores documents. What a source does not offer is refused, or
    left out and said in `reason`. Nothing is written to it. Thread-safe if the retriever is.
    """

    def __init__(
        self,
        retriever: RetrieverLike,
        reranker: BaseReranker | str | Path | None = None,
        *,
        embedder: TextEncoder | str | None = None,
        states: KeptForModels | None = None,
    ) -> None:
        from secondpass.index.candidates import CandidateSearch
        from secondpass.index.first_stage import make_first_stage
        from secondpass.index.rerankers import SearchRerankers

        self._retriever = make_first_stage(retriever, embedder)
        self._passages: PassageStore | None = find_passage_store(self._retriever)
        self._rerankers = SearchRerankers(reranker, states)
        self._candidates = CandidateSearch(self._passages, self._retriever)

    @takes(SearchOptions)
    def search(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> RerankResponse:
        """Find documents in two passes: retrieve candidates, then rerank them.

        `query` is a text, or a list of several wordings of it, the first of which is read and
        the others are its `query_variants`.

        Raises `InputError` for invalid arguments (`FilterError` for the filter),
        `RetrieverError` if a database or a retriever fails, and `ModelError` if the reranker
        fails and `on_failure` is "raise". The options:
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
        if chosen["rescore"] == RESCORE_AUTO and not is_question(query):
            chosen["rescore"] = None
        mode_note = self._choose_mode(chosen)
        check_offers(self._retriever, self._passages, chosen)
        placement = make_placement(chosen)
        reader: ReadOnce | None = None
        reranker: BaseReranker | None = None
        load: dict[str, float] = {}
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

            began, known = time.perf_counter(), self._rerankers.loaded
            reranker = self._compose(chosen, wrap)
            if self._rerankers.loaded > known:
                load["load"] = (time.perf_counter() - began) * 1000
        retrieval = self._candidates.find(
            queries,
            chosen,
            complete_scores=reranker is not None,
            placement=placement if placement.drops else None,
            reader=reader,
        )
        candidates, pin_note = retrieval.candidates, None
        if chosen["pin"]:
            store = self._checkout(chosen["version"])
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
        timings = load | {n: ms for n, ms in retrieval.timings.items() if n != "total"}
        in_rounds_ms = timings.pop("read", 0.0)
        if reranker is not None:
            stages = ("rerank", "spans")
            timings |= {n: response.timings[n] for n in stages if n in response.timings}
            timings["rerank"] += in_rounds_ms
        timings["total"] = (time.perf_counter() - started) * 1000
        notes = [response.reason if candidates else "the first stage found nothing"]
        unused = unused_options(self._retriever, chosen)
        notes += [mode_note, unused, retrieval.note]
        notes += [describe_groups(retrieval, chosen, len(candidates)), pin_note]
        if self._passages is not None and chosen["mode"] != "vector":
            notes.append(self._passages.keyword_note)
        reason = "; ".join(dict.fromkeys(note for note in notes if note)) or None
        unread = max(response.query_unread, retrieval.query_unread)
        if unread and not chosen["truncate"]:
            raise too_long("query", len(query), unread)
        return replace(response, timings=timings, reason=reason, query_unread=unread)

    def _compose(
        self, chosen: Mapping[str, Any], wrap: Callable[[BaseReranker], BaseReranker]
    ) -> BaseReranker:
        """Return the reranker of a search; `wrap` is that of `SearchRerankers.compose`."""
        boosts = parse_boosts(chosen["boost"])
        vectors = partial(self._retriever.embeddings, version=chosen["version"])
        if not boosts:
            return self._rerankers.compose(chosen, wrap=wrap, vectors=vectors)
        matches = self._matcher(chosen["version"])
        for rule in boosts:
            if rule.filter is None:
                continue
            try:
                # A filter that cannot be used is an error even where nothing is found.
                matches(rule.filter, ())
            except FilterError as error:
                what = f"the boost {rule.text!r:.200}: {error.what}"
                raise FilterError(what, why=error.why, fix=error.fix) from None
        return self._rerankers.compose(
            chosen,
            wrap=wrap,
            matches=matches,
            known_fields=self.fields or None,
            vectors=vectors,
        )

    def _matcher(self, version: int | None = None) -> Matches:
        """Return what says which passages pass a filter: the store, or else their metadata."""
        store = self._checkout(version)
        if store is None:
            roles = roles_of(self._retriever)
            return partial(match_metadata, fields=self.fields, roles=roles)

        def matches(condition: str, documents: Sequence[Document]) -> list[bool]:
            return store.matching(documents, condition)

        return matches

    def _checkout(self, version: int | None) -> PassageStore | None:
        """Return the store of the passages, in an earlier state if there is a `version`."""
        if version is None or self._passages is None:
            return self._passages
        store: Any = self._passages
        state: PassageStore = store.checkout(version)
        return state

    def _choose_mode(self, chosen: dict[str, Any]) -> str | None:
        """Replace the mode of a search by one that there is; return what is left out so.

        The default, "hybrid", means all that a database offers.
        """
        modes = self._retriever.modes
        if chosen["mode"] != "hybrid" or self._passages is not None or "hybrid" in modes:
            return None
        if not modes:
            return None
        chosen["mode"] = modes[0]
        note = note_of(self._retriever)
        return _ONLY.get(modes[0]) if note is None else note

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
        """Return the first-stage candidates of a search, with the scores that are known."""
        chosen = {"mode": mode}
        self._choose_mode(chosen)
        retrieval = self._retriever.search(
            check_query(query),
            mode=chosen["mode"],
            candidates=candidates,
            filter=filter,
            fusion=fusion,
            weights=weights,
        )
        return retrieval.candidates

    def run_first_stage(self, query: str, candidates: int) -> Retrieved:
        """Return what the first stage finds, in the mode it has, with what it left out."""
        chosen = {"mode": "hybrid"}
        mode_note = self._choose_mode(chosen)
        found = self._retriever.search(
            check_query(query), mode=chosen["mode"], candidates=candidates
        )
        notes = "; ".join(dict.fromkeys(note for note in (mode_note, found.note) if note))
        return replace(found, note=notes or None)

    def reranker(self, rerank: Rerank = True) -> BaseReranker:
        """Return the reranker of `search` without policies; it uses an index's stored states.

        It works as long as this object is open. Raises `InputError` for False.
        """
        if rerank is False:
            raise InputError("False names no reranker")
        return self._rerankers.load_with_states(rerank)

    def rescorer(self, query: str, **options: Any) -> BaseReranker | None:
        """Return what rescores by the options `rerank`, `blend` and `rescore` of `search`.

        None where nothing does.
        """
        return self._rerankers.find_rescorer(query, options)

    def use_models(self, models: Mapping[str, BaseReranker]) -> None:
        """Use these rerankers for their names, and no others where `rescore` is "auto"."""
        self._rerankers.use_models(models)

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

    # For modules outside of `index` and `retrieve`.

    @property
    def retriever(self) -> FirstStage:
        """The first stage that `search` uses; it is closed with this object."""
        return self._retriever

    @property
    def name(self) -> str:
        """The name of what is searched, for messages: a URL has no secrets here."""
        return name_of(self._retriever)

    @property
    def embedder(self) -> TextEncoder | None:
        """What queries are embedded by; None where the source does that, or has no vectors."""
        return getattr(self._retriever, "embedder", None)

    @property
    def fields(self) -> Mapping[str, str]:
        """The metadata that a filter can name, with the type of each; {} if not known."""
        return fields_of(self._retriever)

    @property
    def language(self) -> str:
        """The language of stemming and stop words; "none" for neither, or if not known."""
        return "none"

    def describe(self) -> RetrieverInfo:
        """Return what the first stage says of itself: its modes, fields, engine and name."""
        return self._retriever.describe()

    @property
    def keeps_passages(self) -> bool:
        """Whether passages can be asked for by id, and scored one by one, as in an index."""
        return self._passages is not None

    def stored_ids(self, ids: Sequence[str]) -> set[str] | None:
        """Return those of these document ids that are stored; None if that is not known."""
        return None

    def passages_of(self, document_id: str) -> list[Document]:
        """Return all passages of the document, or else the passage of this id; [] if none.

        Also [] where passages cannot be asked for.
        """
        if self._passages is None:
            return []
        return [hit.document for hit in self._passages.passages_of(document_id)]

    def matching(
        self,
        filter: str,  # noqa: A002
        documents: Sequence[Document],
    ) -> list[bool]:
        """Return which of these passages pass a filter, in their order; raises FilterError."""
        return list(self._matcher()(filter, documents))

    def score_passages_of(self, query: str, document_id: str) -> list[Candidate]:
        """Return what `passages_of` does, with BM25 and cosine."""
        from secondpass.index.placement import score_passages

        if self._passages is None or self.embedder is None:
            return []
        return score_passages(self._passages, self.embedder, query, document_id)

    def term_scores(
        self, query: str, passages: Sequence[Document]
    ) -> list[list[TermScore]] | None:
        """Return for each of these passages what each word of the query adds to its BM25.

        None where the source does not say.
        """
        from secondpass.retrieve.bm25 import term_scores

        if self._passages is None:
            return None
        return term_scores(self._passages, query, passages)

    def close(self) -> None:
        """Close the retriever, if it can be closed, and the files of cached scores."""
        self._retriever.close()
        self._rerankers.close()

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
    if chosen["rescore"] == RESCORE_NONE:
        chosen["rescore"] = None
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
