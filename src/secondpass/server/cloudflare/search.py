"""The stages of a search: retrieve, fuse, boost, apply thresholds, rerank, expand context."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from secondpass.errors import ModelError, SecondpassError
from secondpass.server.cloudflare.boosts import boost_scores
from secondpass.server.cloudflare.context import AppContext
from secondpass.server.cloudflare.conversation import rewrite_query
from secondpass.server.cloudflare.retrieval import RetrievedChunk, fuse, retrieve
from secondpass.server.cloudflare.search_request import SearchPlan, SearchRequest
from secondpass.server.http_errors import HttpError, to_http_error
from secondpass.server.result_fields import relevance_score
from secondpass.server.scheduler.queue import (
    ClientDisconnectedError,
    OverloadedError,
    QueueTimeoutError,
)
from secondpass.types import Candidate, Document


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search.

    - `query`: the query that was searched for; `chunks`: best first; `texts`: the text of
      each chunk with its context; `rows`: the chunks as clients see them.
    - `errors`: (instance, message) of instances that could not be searched.
    - `complete`: whether no stage failed.
    """

    query: str
    chunks: list[RetrievedChunk]
    texts: list[str]
    rows: list[dict[str, Any]]
    errors: list[tuple[str, str]]
    complete: bool

    def errors_json(self) -> list[dict[str, str]]:
        """Return the errors as clients see them."""
        return [{"instance_id": name, "message": message} for name, message in self.errors]


def run_search(app: AppContext, request: SearchRequest) -> SearchResult:
    """Run a search; blocks.

    Raises HttpError, and what the work queue raises. Of several instances, one that fails is
    left out, unless all fail or the client does not accept partial results.
    """
    plan, query = request.plan, _search_query(app, request)
    chunks, errors = _retrieve_all(request, query)
    chunks = _boost(fuse(chunks, plan.fusion))
    chunks = [chunk for chunk in chunks if _is_similar(chunk)]
    if plan.rerank:
        chunks = rerank_chunks(app, query, chunks, plan)
    chunks = chunks[: plan.max_results]
    texts = expand_context(chunks, plan.context_expansion)
    errors = [*request.missing, *errors]
    reranked = not plan.rerank or all(chunk.reranking_score is not None for chunk in chunks)
    rows = [
        chunk.to_json(text="" if plan.metadata_only else text, with_instance=request.several)
        for chunk, text in zip(chunks, texts, strict=True)
    ]
    return SearchResult(query, chunks, texts, rows, errors, reranked and not errors)


def _search_query(app: AppContext, request: SearchRequest) -> str:
    """Return the query to search for, rewritten if it follows up on earlier messages."""
    conversation, settings = request.conversation, request.settings
    options = request.options.get("query_rewrite", {})
    enabled = options.get("enabled", settings["rewrite_query"])
    if not enabled or not conversation.history:
        return conversation.query
    prompt = options.get("rewrite_prompt", settings.get("system_prompt_rewrite_query"))
    return rewrite_query(app.llm, conversation, prompt)


def _retrieve_all(
    request: SearchRequest, query: str
) -> tuple[list[RetrievedChunk], list[tuple[str, str]]]:
    """Return the chunks of all instances, and the (name, message) of those that failed."""
    chunks: list[RetrievedChunk] = []
    errors: list[tuple[str, str]] = []
    allow_partial = request.plan.allow_partial
    for target in request.targets:
        try:
            chunks += retrieve(target, query, allow_partial=allow_partial)
        except (OverloadedError, QueueTimeoutError, ClientDisconnectedError):
            raise
        except (HttpError, SecondpassError) as error:
            http_error = error if isinstance(error, HttpError) else to_http_error(error)
            errors.append((target.instance.name, http_error.message))
            if len(errors) == len(request.targets) or not allow_partial:
                raise
    return chunks, errors


def _boost(chunks: Sequence[RetrievedChunk]) -> list[RetrievedChunk]:
    """Return chunks boosted by the metadata of their own instance, best first."""
    by_target: dict[int, list[RetrievedChunk]] = defaultdict(list)
    for chunk in chunks:
        by_target[id(chunk.target)].append(chunk)
    boosted: list[RetrievedChunk] = []
    for group in by_target.values():
        target = group[0].target
        rows = [chunk.item.index_columns(target.fields) for chunk in group]
        before = [chunk.score for chunk in group]
        scores = boost_scores(before, rows, target.boosts, target.fields)
        boosted += [replace(c, score=score) for c, score in zip(group, scores, strict=True)]
    return sorted(boosted, key=lambda chunk: (-chunk.score, chunk.id))


def _is_similar(chunk: RetrievedChunk) -> bool:
    """Return whether a chunk passes `match_threshold`; so does one without a vector score."""
    return chunk.vector_score is None or chunk.vector_score >= chunk.target.threshold


def rerank_chunks(
    app: AppContext, query: str, chunks: Sequence[RetrievedChunk], plan: SearchPlan
) -> list[RetrievedChunk]:
    """Return chunks in the order of the reranker, with its scores from 0 to 1.

    Those below `plan.min_score` are dropped. If the reranker fails and partial results are
    accepted, the chunks are returned unchanged. Raises HttpError for an unknown model, and
    what the work queue raises.
    """
    if not chunks:
        return []
    model = app.reranker(plan.model)
    instances = {id(chunk.target.instance): chunk.target.instance for chunk in chunks}
    if len(instances) == 1:
        (instance,) = instances.values()
        # The index stores what a precomputed model needs of its chunks.
        model = instance.index().reranker(model)
    candidates = [
        Candidate(
            chunk.document,
            score=chunk.score,
            rank=rank,
            bm25=chunk.keyword_score,
            vector=chunk.vector_score,
        )
        for rank, chunk in enumerate(chunks, 1)
    ]
    try:
        response = model.rerank(query, candidates, return_documents=False)
    except ModelError:
        if not plan.allow_partial:
            raise
        return list(chunks)
    scores = [(result.index, relevance_score(result)) for result in response.results]
    return [
        replace(chunks[index], score=score, reranking_score=score)
        for index, score in scores
        if score >= plan.min_score
    ]


def expand_context(chunks: Sequence[RetrievedChunk], neighbors: int) -> list[str]:
    """Return the text of each chunk with this many neighboring chunks on both sides.

    Neighbors are of the same document; the text that two of them share is not repeated.
    """
    siblings: dict[tuple[int, str], list[Document]] = {}
    texts = []
    for chunk in chunks:
        number = chunk.document.chunk
        if neighbors == 0 or number == 0:
            texts.append(chunk.document.text)
            continue
        document_id = str(chunk.document.document_id)
        instance = chunk.target.instance
        key = (id(instance), document_id)
        if key not in siblings:
            with instance.not_found_if_deleted():
                passages = instance.index().passages_of(document_id)
            siblings[key] = passages
        near = [d for d in siblings[key] if abs(d.chunk - number) <= neighbors]
        texts.append(join_chunks(near) if near else chunk.document.text)
    return texts


def join_chunks(chunks: Sequence[Document]) -> str:
    """Return successive chunks of a document as one text; gaps were white space."""
    text, end = "", 0
    for i, chunk in enumerate(chunks):
        start, past = (0, 0) if chunk.origin is None else (chunk.origin.start, chunk.origin.end)
        if i:
            text += " " * max(0, min(1, start - end))
        text += chunk.text[max(0, end - start) if i else 0 :]
        end = max(end, past)
    return text
