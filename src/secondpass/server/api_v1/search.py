"""`/api/v1/indexes/{name}/search` and `/answer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter

from secondpass.answer import Answer, AnswerStream, Passage, stream_answer
from secondpass.answer.answer import MIN_PROBABILITY, AnswerContext
from secondpass.errors import InputError, nearest
from secondpass.option_types import offered
from secondpass.option_values import RESCORE_AUTO, RESCORE_NONE
from secondpass.options import PlacementOptions, SearchOptions
from secondpass.server.api_v1.responses import (
    Ranking,
    SpanBody,
    error_body,
    write_ranking,
    write_spans,
)
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
from secondpass.server.state import ServerState
from secondpass.server.streaming import EventStream, data

_NOT_ASKED = (None, RESCORE_AUTO, RESCORE_NONE)
"""The values of `rescore` that name no model."""

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
    language model, where the server has one, first turn the question into a query. `stream`
    sends the answer as it is written, as server-sent events: `passages` (a list of `Cited`,
    without spans), `text` (an object with a piece of the text) as often as there are pieces,
    then `answer` (a `FullAnswer`), or `error` (a `Failure`). The other fields are those of a
    search.
    """

    __pydantic_config__ = STRICT

    passages: Count = 5
    context_tokens: Count = 1500
    max_tokens: Count = 500
    min_probability: Share | None = MIN_PROBABILITY
    rewrite: Flag = False
    context: AnswerContext = "passages"
    stream: Flag = False


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
        handler.count(context, count_candidates(options))
        options |= find_models(handler.state, options)

        def run() -> Ranking:
            served = handler.state.catalog.find(context.caller.tenant, name)
            response = served.source.search(body.query, **options)  # type: ignore[attr-defined]
            return write_ranking(response, context.id)

        return await handler.run(context, run)

    @routes.post(
        "/indexes/{name}/answer",
        response_model=FullAnswer,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def answer(name: str, body: AnswerBody, context: Context) -> object:
        """Answer a question from what a search finds, with citations."""
        state = handler.state
        options = {key: getattr(body, key) for key in offered(PlacementOptions, "http")}

        def start() -> AnswerStream:
            served = state.catalog.find(context.caller.tenant, name)
            return stream_answer(
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

        def run() -> FullAnswer:
            stream = start()
            for _ in stream:
                pass
            assert stream.answer is not None
            return _write_answer(stream.answer, context.id)

        if not body.stream:
            return await handler.run(context, run)
        return await handler.stream(
            context,
            lambda: EventStream(
                _answer_frames(start(), context.id),
                lambda error: data(error_body(error, context.id), event="error"),
            ),
        )

    return routes


def count_candidates(options: Mapping[str, Any]) -> int:
    """Return how many documents the options of a search ask to read, each counted as often."""
    variants = len(options.get("query_variants", ()))
    wordings = 1 + variants if options.get("variant_scores") == "max" else 1
    read = (options["candidates"] + len(options["pin"])) * wordings
    return int(read) + count_rescored(options)


def count_rescored(options: Mapping[str, Any]) -> int:
    """Return how many documents the options of a search ask to read again; none for "auto"."""
    asked = options.get("rescore") not in _NOT_ASKED
    return int(options["rescore_window"]) if asked else 0


def find_models(state: ServerState, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `rerank` and `rescore`, with the models that names stand for.

    Raises `InputError` for a `rescore` that is not served: the default model, which stands for
    other unknown names, would read everything twice.
    """
    rerank, rescore = options["rerank"], options["rescore"]
    if rescore in _NOT_ASKED:
        reader = rescore
    elif rescore in state.rescorers:
        reader = state.rescorers[rescore]
    else:
        raise InputError(
            f"The model {rescore!r} is not served",
            where="rescore",
            fix=nearest(str(rescore), state.rescorers),
        )
    return {
        "rerank": state.model(rerank) if isinstance(rerank, str) else rerank,
        "rescore": reader,
    }


def _answer_frames(stream: AnswerStream, request_id: str) -> Iterator[str]:
    """Yield the frames of a streamed answer; blocks."""
    with closing(stream):
        begun = False
        for piece in stream:
            if not begun:
                yield data([asdict(_cited(p)) for p in stream.passages], event="passages")
                begun = True
            yield data({"text": piece}, event="text")
    assert stream.answer is not None
    if not begun:
        yield data([asdict(_cited(p)) for p in stream.answer.passages], event="passages")
    yield data(asdict(_write_answer(stream.answer, request_id)), event="answer")


def _cited(passage: Passage) -> Cited:
    return Cited(
        passage.number,
        passage.text,
        passage.title,
        list(passage.ids),
        passage.probability,
        write_spans(passage.spans),
    )


def _write_answer(answer: Answer, request_id: str) -> FullAnswer:
    return FullAnswer(
        id=request_id,
        query=answer.query,
        text=answer.text,
        status=answer.status.value,
        reason=answer.reason,
        model=answer.model,
        passages=[_cited(passage) for passage in answer.passages],
        timings={name: round(ms, 3) for name, ms in answer.timings.items()},
    )
