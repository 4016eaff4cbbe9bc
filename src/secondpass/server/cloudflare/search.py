"""A search from the question to the chunks, in the order of its steps.

Chunks with what stands around them.

The second pass over what was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from secondpass.errors import ModelError, SecondpassError
from secondpass.server.cloudflare.context import AppContext
from secondpass.server.cloudflare.retrieval import RetrievedChunk, fused, retrieve
from secondpass.server.cloudflare.search_plan import Plan, Target, boosted
from secondpass.server.http_errors import HttpError, problem_of
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest
from secondpass.server.scheduler.queue import (
    ClientDisconnectedError,
    OverloadedError,
    QueueTimeoutError,
)
from secondpass.types import Candidate, Document


def expanded(found: Sequence[RetrievedChunk], neighbours: int) -> list[str]:
    """Return the text of each chunk with so many neighbours on both sides.

    Neighbours are chunks of the same document; what two of them share stands there once.
    """
    known: dict[tuple[int, str], list[Document]] = {}
    texts = []
    for one in found:
        chunk = _number(one.document)
        if neighbours == 0 or chunk == 0:
            texts.append(one.document.text)
            continue
        owner = str(one.document.metadata["document_id"])
        instance = one.target.instance
        key = (id(instance), owner)
        if key not in known:
            with instance.present():
                passages = instance.index().passages_of(owner)
            known[key] = sorted(passages, key=_number)
        near = [d for d in known[key] if abs(_number(d) - chunk) <= neighbours]
        texts.append(joined(near) if near else one.document.text)
    return texts


def joined(chunks: Sequence[Document]) -> str:
    """Return chunks of one document, in order, as one text; gaps were white space."""
    text, end = "", 0
    for number, chunk in enumerate(chunks):
        start = int(chunk.metadata["start"])
        if number:
            text += " " * max(0, min(1, start - end))
        text += chunk.text[max(0, end - start) if number else 0 :]
        end = max(end, int(chunk.metadata["end"]))
    return text


def _number(document: Document) -> int:
    chunk: Any = document.metadata.get("chunk", 0)
    return chunk if isinstance(chunk, int) else 0


def reranked(
    hub: AppContext, query: str, found: Sequence[RetrievedChunk], plan: Plan
) -> list[RetrievedChunk]:
    """Return chunks in the order of the reranker, scored by it, without those below `least`.

    Scores are shares from 0 to 1. Where the reranker fails and part of a search will do, the
    chunks come back as they were. Raises Problem for a model that is not served, and what
    the queue raises.
    """
    if not found:
        return []
    model = hub.handler.state.model(plan.model)
    instances = {id(f.target.instance): f.target.instance for f in found}
    if len(instances) == 1:
        (instance,) = instances.values()
        # It has kept what this model makes of its chunks.
        model = instance.index().reranker(model)
    candidates = [
        Candidate(f.document, score=f.score, rank=n, bm25=f.keyword, vector=f.vector)
        for n, f in enumerate(found, 1)
    ]
    try:
        response = model.rerank(query, candidates, return_documents=False)
    except ModelError:
        if not plan.partial:
            raise
        return list(found)
    share = RerankReply(RerankRequest(query, (), ()), response, "").score
    ordered = [
        replace(found[r.index], score=share(r), reranked=share(r)) for r in response.results
    ]
    return [f for f in ordered if f.score >= plan.least]


@dataclass(slots=True)
class Results:
    """What a search has: chunks, best first, each with the text to show.

    `errors`: (instance, message) of those that could not be searched.
    """

    chunks: list[RetrievedChunk] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def shown(self, *, with_instance: bool, without_text: bool) -> list[dict[str, Any]]:
        """Return the chunks as clients see them."""
        pairs = zip(self.chunks, self.texts, strict=True)
        return [
            one.shown(text="" if without_text else text, with_instance=with_instance)
            for one, text in pairs
        ]


def search(hub: AppContext, query: str, targets: Sequence[Target], plan: Plan) -> Results:
    """Retrieve, fuse, boost, drop what is unlike, rerank, cut, and widen.

    Over several instances one that fails is left out, unless all of them do or the request
    wants all or nothing. Raises Problem and what the queue raises.
    """
    results = Results()
    found: list[RetrievedChunk] = []
    for target in targets:
        try:
            found += retrieve(target, query, partial=plan.partial)
        except (OverloadedError, QueueTimeoutError, ClientDisconnectedError):
            raise
        except (HttpError, SecondpassError) as error:
            problem = error if isinstance(error, HttpError) else problem_of(error)
            results.errors.append((target.instance.name, problem.message))
            if len(results.errors) == len(targets) or not plan.partial:
                raise
    chunks = _boosted(fused(found, plan.fusion))
    chunks = [f for f in chunks if f.vector is None or f.vector >= f.target.threshold]
    if plan.rerank:
        chunks = reranked(hub, query, chunks, plan)
    results.chunks = chunks[: plan.results]
    results.texts = expanded(results.chunks, plan.expansion)
    return results


def _boosted(found: Sequence[RetrievedChunk]) -> list[RetrievedChunk]:
    """Boost the chunks of each instance by its own fields."""
    groups: dict[int, list[RetrievedChunk]] = defaultdict(list)
    for one in found:
        groups[id(one.target)].append(one)
    done: list[RetrievedChunk] = []
    for group in groups.values():
        target = group[0].target
        rows = [one.item.columns(target.fields) for one in group]
        scores = boosted([one.score for one in group], rows, target.boosts, target.fields)
        done += [replace(one, score=score) for one, score in zip(group, scores, strict=True)]
    return sorted(done, key=lambda f: (-f.score, f.id))
