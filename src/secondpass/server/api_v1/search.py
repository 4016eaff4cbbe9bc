"""`/api/v1/indexes/{name}/search` and `/answer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from secondpass.answer import Answer
from secondpass.answer import answer as answer_question
from secondpass.answer.answer import MIN_PROBABILITY, AnswerContext
from secondpass.option_types import offered
from secondpass.options import PlacementOptions, SearchOptions
from secondpass.server.api_v1.responses import Ranking, SpanBody, write_ranking, write_spans
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import (
    STRICT,
    Count,
    Flag,
    Query,
    Share,
    body_with_options,
)
from secondpass.server.request_handler import RequestHandler

SearchBody = body_with_options(
    "SearchBody",
    "A query, and how to search for it: the options of `Index.search`.",
    {"query": Query},
    SearchOptions,
)

_Placement = body_with_options(
    "Placement",
    "A question, and how the passages to answer it from are grouped, boosted and pinned.",
    {"query": Query},
    PlacementOptions,
)


@dataclass
class AnswerBody(_Placement):  # type: ignore[misc, valid-type]
    """A question, and how much may be read to answer it.

    `passages` are read, `context_tokens` of them in all. Where none is relevant with
    `min_probability`, the answer is that there is none; null turns that check off. `context`
    "spans" sends the language model only the sentences that answer. `rewrite` lets the
    language model, where the server has one, first turn the question into a query. The other
    fields are those of a search.
    """

    __pydantic_config__ = STRICT

    passages: Count = 5
    context_tokens: Count = 1500
    max_tokens: Count = 500
    min_probability: Share | None = MIN_PROBABILITY
    rewrite: Flag = False
    context: AnswerContext = "passages"


@dataclass
class Cited:
    """A passage that the answer could cite by its number, and which of its sentences answer."""

    number: int
    text: str
    title: str | None
    ids: list[str]
    probability: float | None
    spans: list[SpanBody]


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


def router(handler: RequestHandler) -> APIRouter:
    """Return the routes."""
    routes = make_router(handler, "search", "search")

    @routes.post("/indexes/{name}/search", response_model=Ranking)
    async def search(name: str, body: SearchBody, context: Context) -> object:  # type: ignore[valid-type]
        """Find documents in two passes."""
        options: Any = {key: getattr(body, key) for key in offered(SearchOptions, "http")}
        # As many candidates as a rerank request may have documents, each read once or more.
        variants = len(options["query_variants"])
        wordings = 1 + variants if options["variant_scores"] == "max" else 1
        handler.count(context, (options["candidates"] + len(options["pin"])) * wordings)
        if isinstance(options["rerank"], str):
            options["rerank"] = handler.state.model(options["rerank"])

        def run() -> Ranking:
            served = handler.state.catalog.find(context.caller.tenant, name)
            response = served.source.search(body.query, **options)  # type: ignore[attr-defined]
            return write_ranking(response, context.id)

        return await handler.run(context, run)

    @routes.post("/indexes/{name}/answer", response_model=FullAnswer)
    async def answer(name: str, body: AnswerBody, context: Context) -> object:
        """Answer a question from what a search finds, with citations."""
        state = handler.state
        options = {key: getattr(body, key) for key in offered(PlacementOptions, "http")}

        def run() -> FullAnswer:
            served = state.catalog.find(context.caller.tenant, name)
            result = answer_question(
                served.source,
                body.query,
                llm=state.llm,
                rewrite=body.rewrite and state.llm is not None,
                passages=body.passages,
                context_tokens=body.context_tokens,
                max_tokens=body.max_tokens,
                min_probability=body.min_probability,
                reranker=state.model(),
                search=options,
                context=body.context,
            )
            return _write_answer(result, context.id)

        return await handler.run(context, run)

    return routes


def _write_answer(answer: Answer, request_id: str) -> FullAnswer:
    return FullAnswer(
        id=request_id,
        query=answer.query,
        text=answer.text,
        status=answer.status.value,
        reason=answer.reason,
        model=answer.model,
        passages=[
            Cited(p.number, p.text, p.title, list(p.ids), p.probability, write_spans(p.spans))
            for p in answer.passages
        ],
        timings={name: round(ms, 3) for name, ms in answer.timings.items()},
    )
