"""`/api/v1/indexes/{name}/query-sets/{query_set}/comparison`: two configurations compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from secondpass.evaluate.collection import Collection
from secondpass.evaluate.search_comparison import (
    QueryChange,
    check_measure,
    compare_queries,
    summarize_changes,
)
from secondpass.evaluate.significance import Effect
from secondpass.index.index import Index
from secondpass.option_types import offered
from secondpass.options import SearchOptions
from secondpass.server.api_v1.query_sets import find_query_set
from secondpass.server.api_v1.responses import Failure, error_body
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import STRICT, Count, Query, body_with_options
from secondpass.server.api_v1.search import count_candidates, find_models
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.streaming import EventStream, data

# What is returned of a result does not change its rank, and wordings belong to one query.
_NOT_COMPARED = ("top_k", "return_documents", "spans", "query_variants", "like", "unlike")

SearchConfiguration = body_with_options(
    "SearchConfiguration",
    "How to search: the options of a search that hold for every query.",
    {},
    SearchOptions,
    without=_NOT_COMPARED,
)


@dataclass
class ComparisonBody:
    """Two configurations of a search, and how they are compared.

    `measure` is a name of ir-measures; `limit` takes the first queries only.
    """

    __pydantic_config__ = STRICT

    before: SearchConfiguration  # type: ignore[valid-type]
    after: SearchConfiguration  # type: ignore[valid-type]
    measure: Query = "nDCG@10"
    limit: Count | None = None


@dataclass
class ComparisonStart:
    """The first event, "start": how many queries are compared; notes on those left out."""

    queries: int
    measure: str
    notes: list[str]


@dataclass
class ComparedQuery:
    """An event "query": the measure of one query, and the milliseconds of its two searches.

    `done` counts the queries up to this one.
    """

    done: int
    id: str
    text: str
    before: float
    after: float
    change: float
    before_ms: float
    after_ms: float


@dataclass
class ComparisonResult:
    """The last event, "result": means, the difference, and what it says.

    `verdict` is "better" where the difference is significant at 5 %, "not better" where it is
    surely below .01 or not above 0, else "undecided"; `sentence` says it in words.
    `before_ms` and `after_ms` are medians.
    """

    queries: int
    measure: str
    before: float
    after: float
    effect: Effect
    verdict: str
    sentence: str
    before_ms: float
    after_ms: float


class EventResponse(JSONResponse):
    """Server-sent events, each with JSON as its data: for the OpenAPI document alone."""

    media_type = "text/event-stream"


Event = ComparisonStart | ComparedQuery | ComparisonResult | Failure


def router(handler: RequestHandler) -> APIRouter:
    """Return the route."""
    routes = make_router(handler, "evaluation", "search")
    state = handler.state

    @routes.post(
        "/indexes/{name}/query-sets/{query_set}/comparison",
        response_class=EventResponse,
        response_model=Event,
    )
    async def compare(
        name: str, query_set: str, body: ComparisonBody, context: Context
    ) -> object:
        """Compare two configurations over the judged queries of a set.

        Sends server-sent events: "start", one "query" for each, and "result"; "error" where
        it fails midway. Closing the connection ends the comparison.
        """
        before = _options(handler, context, body.before)
        after = _options(handler, context, body.after)

        def make_stream() -> EventStream:
            check_measure(body.measure)
            index = state.catalog.find(context.caller.tenant, name).index
            collection = find_query_set(state, context, name, query_set).collection()
            if body.limit is not None:
                collection = collection.first(body.limit)
            judged = {d for grades in collection.qrels.values() for d in grades}
            collection = collection.checked(index.stored_ids(sorted(judged)), "the index")
            frames = _events(index, collection, before, after, body.measure)
            return EventStream(
                frames,
                lambda error: data(error_body(error, context.id), event="error"),
                frame_timeout=state.settings.timeout,
            )

        return await handler.stream(context, make_stream)

    return routes


def _options(handler: RequestHandler, context: RequestContext, body: Any) -> Any:
    names = offered(SearchOptions, "http").keys() - set(_NOT_COMPARED)
    options: dict[str, Any] = {name: getattr(body, name) for name in names}
    handler.count(context, count_candidates(options))
    return options | find_models(handler.state, options)


def _events(
    index: Index, collection: Collection, before: Any, after: Any, measure: str
) -> Iterator[str]:
    start = ComparisonStart(len(collection.queries), measure, list(collection.notes))
    yield data(asdict(start), event="start")
    changes: list[QueryChange] = []
    for change in compare_queries(index, collection, before, after, measure=measure):
        changes.append(change)
        yield data(asdict(_write_change(change, len(changes))), event="query")
    yield data(asdict(_write_result(measure, changes)), event="result")


def _write_change(change: QueryChange, done: int) -> ComparedQuery:
    return ComparedQuery(
        done=done,
        id=change.query,
        text=change.text,
        before=change.before,
        after=change.after,
        change=change.change,
        before_ms=round(change.before_ms, 3),
        after_ms=round(change.after_ms, 3),
    )


def _write_result(measure: str, changes: list[QueryChange]) -> ComparisonResult:
    comparison = summarize_changes(measure, changes)
    return ComparisonResult(
        queries=len(changes),
        measure=measure,
        before=comparison.before,
        after=comparison.after,
        effect=comparison.effect,
        verdict=comparison.verdict,
        sentence=comparison.sentence,
        before_ms=round(comparison.before_ms, 3),
        after_ms=round(comparison.after_ms, 3),
    )
