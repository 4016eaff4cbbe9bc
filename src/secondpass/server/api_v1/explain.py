"""`/api/v1/indexes/{name}/explain` and `/api/v1/explain`: why a document has its rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from secondpass.errors import InputError
from secondpass.explain import Explanation, explain, explain_text
from secondpass.explain.types import (
    Counterfactual,
    Faithfulness,
    Match,
    ScoredWindow,
    StageRanks,
)
from secondpass.explain.types import Span as Contribution
from secondpass.index.search import Search
from secondpass.options import SearchOptions
from secondpass.retrieve.bm25 import TermScore
from secondpass.server.api_v1.responses import SpanBody, write_document, write_spans
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import (
    STRICT,
    Count,
    DocumentBody,
    Query,
    body_with_options,
)
from secondpass.server.api_v1.search import count_rescored, find_models
from secondpass.server.request_handler import RequestHandler

_RESCORE = ("rescore", "rescore_window", "rescore_weight")
_OPTIONS = ("mode", "candidates", "blend", "boost", "fields", *_RESCORE)
_MAX_DEPTHS = 5
_Depths = Annotated[list[Count], Field(max_length=_MAX_DEPTHS)]
_Fields = Annotated[list[Query], Field(min_length=1)]
_Seed = Annotated[int, Field(ge=0, strict=True)]

_Explained = body_with_options(
    "Explained",
    "A query, a document, and the options of a search that an explanation has.",
    {"query": Query, "document": Query},
    SearchOptions,
    only=_OPTIONS,
)


@dataclass
class ExplainBody(_Explained):  # type: ignore[misc, valid-type]
    """A query, and the id of a document or passage of the index.

    `model` names a model that is served, the default one for null. `depths` are up to five
    other numbers of candidates to give the rank for. With `fields`, the explanation has the
    rank without each of them. `seed` is for the random parts that the important ones are
    compared with. The other fields are those of a search.
    """

    __pydantic_config__ = STRICT

    model: Query | None = None
    depths: _Depths = field(default_factory=list)
    seed: _Seed = 0


@dataclass
class ExplainTextBody:
    """A query and a text, whose score by the reranker alone is explained."""

    __pydantic_config__ = STRICT

    query: Query
    document: Query | DocumentBody
    model: Query | None = None
    fields: _Fields | None = None
    seed: _Seed = 0


@dataclass
class RankAtDepth:
    """The rank of the document where so many candidates are reranked; null if it is not one."""

    candidates: int
    rank: int | None


@dataclass
class ExplanationBody:
    """Why a document has its rank.

    - `found`: whether the first stage retrieved it; if not, the rest is what would be if it
      had. Null without an index, where only the reranker is explained.
    - `places`: the rank by each stage. `terms` sum to `bm25`, and `matches` are their places in
      the document; `parts` sum to `final_score`.
    - `score`: the reranker's, of which `spans` of query, title and text are the contributions;
      `faithfulness` says whether they hold. `windows` are the parts of the text that it scored.
    - `counterfactuals`: the rank after a change, such as without the title; `depths`: the rank
      with other numbers of candidates.
    - `rescorer`: the model that read the first candidates again, which `parts` has.
    - `answers`: the sentences that answer; `notes`: what could not be explained, and why.
    """

    id: str
    query: str
    document: DocumentBody
    model: str
    found: bool | None
    score: float
    score_kind: str
    probability: float | None
    final_score: float
    places: StageRanks | None
    bm25: float | None
    vector: float | None
    terms: list[TermScore]
    parts: dict[str, float]
    windows: list[ScoredWindow]
    spans: list[Contribution]
    faithfulness: Faithfulness | None
    counterfactuals: list[Counterfactual]
    depths: list[RankAtDepth]
    notes: list[str]
    matches: list[Match]
    answers: list[SpanBody]
    rescorer: str | None


def router(handler: RequestHandler) -> APIRouter:
    """Return the route that explains a result of a search."""
    routes = make_router(handler, "search", "search")
    state = handler.state

    @routes.post("/indexes/{name}/explain", response_model=ExplanationBody)
    async def explain_result(name: str, body: ExplainBody, context: Context) -> object:
        """Explain the rank of a document of an index for a query."""
        request: Any = body
        options: dict[str, Any] = {key: getattr(request, key) for key in _OPTIONS}
        deepest = max([request.candidates, *request.depths])
        handler.count(context, deepest + count_rescored(options))
        model = state.model(request.model)
        options["rescore"] = find_models(state, {"rerank": True, **options})["rescore"]

        def run() -> ExplanationBody:
            index = state.catalog.find(context.caller.tenant, name).explainable
            explanation = explain(
                index,
                request.query,
                request.document,
                rerank=model,
                seed=request.seed,
                **options,
            )
            notes, depths = list[str](), list[RankAtDepth]()
            for depth in request.depths:
                chosen = {**options, "candidates": depth, "rerank": model}
                try:
                    rank = _find_rank(index, request.query, explanation, chosen)
                except InputError as error:
                    # So few candidates may lack a field that others have.
                    rank = None
                    notes.append(f"At depth {depth} there is no rank: {error}")
                depths.append(RankAtDepth(depth, rank))
            explanation = replace(explanation, notes=(*explanation.notes, *notes))
            return _write_explanation(explanation, depths, context.id)

        return await handler.run(context, run)

    return routes


def text_router(handler: RequestHandler) -> APIRouter:
    """Return the route that explains the score of a text."""
    routes = make_router(handler, "rerank", "rerank")
    state = handler.state

    @routes.post("/explain", response_model=ExplanationBody)
    async def explain_score(body: ExplainTextBody, context: Context) -> object:
        """Explain the reranker's score of one text, without an index."""
        document = body.document
        handler.count(context, 1)

        def run() -> ExplanationBody:
            explanation = explain_text(
                state.model(body.model),
                body.query,
                document if isinstance(document, str) else document.document(),
                fields=body.fields,
                seed=body.seed,
            )
            return _write_explanation(explanation, (), context.id)

        return await handler.run(context, run)

    return routes


def _find_rank(
    index: Search, query: str, explanation: Explanation, options: dict[str, Any]
) -> int | None:
    """Return the rank of the explained passage in a search, None where it is not found."""
    search: Any = {**options, "top_k": None, "return_documents": True}
    key = explanation.document.key
    for result in index.search(query, **search).results:
        if result.document is not None and result.document.key == key:
            return result.rank
    return None


def _write_explanation(
    explanation: Explanation, depths: Sequence[RankAtDepth], request_id: str
) -> ExplanationBody:
    return ExplanationBody(
        id=request_id,
        query=explanation.query,
        document=write_document(explanation.document),
        model=explanation.model,
        found=explanation.found,
        score=explanation.score,
        score_kind=explanation.score_kind,
        probability=explanation.probability,
        final_score=explanation.final_score,
        places=explanation.places,
        bm25=explanation.bm25,
        vector=explanation.vector,
        terms=list(explanation.terms),
        parts=dict(explanation.parts),
        windows=list(explanation.windows),
        spans=list(explanation.spans),
        faithfulness=explanation.faithfulness,
        counterfactuals=list(explanation.counterfactuals),
        depths=list(depths),
        notes=list(explanation.notes),
        matches=list(explanation.matches),
        answers=write_spans(explanation.answers),
        rescorer=explanation.rescorer,
    )
