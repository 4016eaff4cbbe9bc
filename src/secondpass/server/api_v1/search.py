"""`/api/v1/indexes/{name}/search` and `/answer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from secondpass.answer import Answer, answer
from secondpass.answer.answer import MIN_PROBABILITY
from secondpass.server.api_v1.router import Asking, router
from secondpass.server.api_v1.schemas import (
    STRICT,
    Count,
    Flag,
    Query,
    Ranking,
    Share,
    ranking,
)
from secondpass.server.request_handler import RequestHandler


@dataclass
class SearchBody:
    """A query, and how it is searched for.

    `candidates` is how many the first pass hands over. `rerank` is true, false for the first
    pass's order, or the name of a model that is served. `filter` is a condition on metadata,
    such as "year >= 2015 AND source = 'docs'". `blend` false orders by the reranker alone;
    `cascade` lets a cheap model rule out what cannot reach the top.
    """

    __pydantic_config__ = STRICT

    query: Query
    top_k: Count = 5
    candidates: Annotated[int, Field(ge=1, strict=True)] = 50
    mode: Literal["hybrid", "bm25", "vector"] = "hybrid"
    rerank: Annotated[bool, Field(strict=True)] | str = True
    filter: str | None = None
    fusion: str = "rrf"
    weights: tuple[float, float] | None = None
    blend: Flag = True
    cascade: Flag = False
    min_probability: Share | None = None
    return_documents: Flag = True


@dataclass
class AnswerBody:
    """A question, and what may be read to answer it.

    `passages` are read, `context_tokens` of them in all. Where none is relevant with
    `min_probability`, the answer is that there is none; null does not look. `rewrite` lets
    the language model, where the server has one, first turn the question into a query.
    """

    __pydantic_config__ = STRICT

    query: Query
    passages: Count = 5
    context_tokens: Count = 1500
    max_tokens: Count = 500
    min_probability: Share | None = MIN_PROBABILITY
    rewrite: Flag = False


@dataclass
class Cited:
    """A passage that the answer could cite by its number."""

    number: int
    text: str
    title: str | None
    ids: list[str]
    probability: float | None


@dataclass
class FullAnswer:
    """An answer with numbers of passages in brackets.

    `status` is "generated" by a language model, "extractive" (sentences of the passages as
    they stand) or "not_found"; `reason` says why, or what went wrong.
    """

    id: str
    query: str
    text: str
    status: str
    reason: str | None
    model: str | None
    passages: list[Cited]
    timings: dict[str, float]


def searching(handler: RequestHandler) -> APIRouter:
    """Return the routes."""
    routes = router(handler, "search", "search")

    @routes.post("/indexes/{name}/search", response_model=Ranking)
    async def search(name: str, body: SearchBody, asking: Asking) -> object:
        """Find documents in two passes."""
        # As many candidates as a rerank request may have documents.
        handler.counting(asking, body.candidates)
        rerank: Any = body.rerank
        if isinstance(rerank, str):
            rerank = handler.state.model(rerank)

        def do() -> Ranking:
            found = handler.state.catalog.find(asking.caller.tenant, name)
            response = found.index.search(
                body.query,
                mode=body.mode,
                candidates=body.candidates,
                top_k=body.top_k,
                rerank=rerank,
                filter=body.filter,
                fusion=body.fusion,
                weights=body.weights,
                blend=body.blend,
                cascade=body.cascade,
                min_probability=body.min_probability,
                return_documents=body.return_documents,
            )
            return ranking(response, asking.id)

        return await handler.done(asking, do)

    @routes.post("/indexes/{name}/answer", response_model=FullAnswer)
    async def answered(name: str, body: AnswerBody, asking: Asking) -> object:
        """Answer a question from what a search finds, with citations."""
        settings = handler.state.settings

        def do() -> FullAnswer:
            found = handler.state.catalog.find(asking.caller.tenant, name)
            result = answer(
                found.index,
                body.query,
                llm=settings.llm,
                rewrite=body.rewrite and settings.llm is not None,
                passages=body.passages,
                context_tokens=body.context_tokens,
                max_tokens=body.max_tokens,
                min_probability=body.min_probability,
                reranker=handler.state.model(),
            )
            return _shown(result, asking.id)

        return await handler.done(asking, do)

    return routes


def _shown(answer: Answer, number: str) -> FullAnswer:
    return FullAnswer(
        id=number,
        query=answer.query,
        text=answer.text,
        status=answer.status.value,
        reason=answer.reason,
        model=answer.model,
        passages=[
            Cited(p.number, p.text, p.title, list(p.ids), p.probability)
            for p in answer.passages
        ],
        timings={name: round(ms, 3) for name, ms in answer.timings.items()},
    )
