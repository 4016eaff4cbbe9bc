"""The second pass over what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secondpass.errors import ModelError
from secondpass.server.cloudflare.context import Hub
from secondpass.server.cloudflare.found import Found
from secondpass.server.cloudflare.search_plan import Plan
from secondpass.server.rerank_dialects.schemas import Answered, Ask
from secondpass.types import Candidate


def reranked(hub: Hub, query: str, found: Sequence[Found], plan: Plan) -> list[Found]:
    """Return chunks in the order of the reranker, scored by it, without those below `least`.

    Scores are shares from 0 to 1. Where the reranker fails and part of a search will do, the
    chunks come back as they were. Raises Problem for a model that is not served, and what
    the queue raises.
    """
    if not found:
        return []
    model = hub.answering.service.model(plan.model)
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
    share = Answered(Ask(query, (), ()), response, "").score
    ordered = [
        replace(found[r.index], score=share(r), reranked=share(r)) for r in response.results
    ]
    return [f for f in ordered if f.score >= plan.least]
