"""The server's own interface, `/api/v1`, with an OpenAPI document."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from secondpass.server.answering import Answering
from secondpass.server.asking import Ask
from secondpass.server.exchange import REQUEST_ID, Exchange
from secondpass.server.problems import Problem


@dataclass
class RerankBody:
    """A query and texts to put in order."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[str], Field(min_length=1)]
    model: str | None = None
    top_k: Annotated[int | None, Field(ge=1)] = None
    return_documents: Annotated[bool, Field(strict=True)] = False


@dataclass
class Result:
    """A document: its place in the request, its score, and how much of it was not read."""

    index: int
    score: float
    score_kind: str
    probability: float | None
    unread_characters: int
    document: str | None


@dataclass
class RerankAnswer:
    """The results, best first, and what happened on the way."""

    id: str
    model: str | None
    status: str
    reason: str | None
    results: list[Result]
    milliseconds: float


@dataclass
class Failure:
    """Why there is no answer."""

    error: str
    message: str
    id: str


@dataclass
class ModelList:
    """The names of the models that are served, the default first."""

    models: list[str]


_CODES = (400, 401, 403, 404, 413, 429, 503, 504)
_FAILURES: dict[int | str, dict[str, Any]] = {code: {"model": Failure} for code in _CODES}


def native(answering: Answering) -> APIRouter:
    """Return the routes."""

    def check(request: Request) -> None:
        # Before anything is said of the body.
        request.state.caller = answering.check(request)

    router = APIRouter(prefix="/api/v1", tags=["rerank"], dependencies=[Depends(check)])

    @router.post("/rerank", response_model=RerankAnswer, responses=_FAILURES)
    async def rerank(body: RerankBody, request: Request, response: Response) -> object:
        """Put documents in the order of their relevance to the query."""
        exchange = Exchange(request, "native", caller=request.state.caller)
        response.headers[REQUEST_ID] = exchange.id
        ask = Ask(body.query, body.documents, body.documents, body.model, body.top_k)
        try:
            (found,) = await answering.reranked(exchange, [ask])
        except Problem as problem:
            answering.counted(exchange, problem.status)
            raise
        answering.counted(exchange, 200)
        return RerankAnswer(
            id=exchange.id,
            model=found.model,
            status=found.status.value,
            reason=found.reason,
            results=[
                Result(
                    index=r.index,
                    score=r.score,
                    score_kind=r.score_kind.value,
                    probability=r.probability,
                    unread_characters=r.unread,
                    document=body.documents[r.index] if body.return_documents else None,
                )
                for r in found.results
            ],
            milliseconds=found.timings["total"],
        )

    @router.get("/models", response_model=ModelList, responses={401: {"model": Failure}})
    async def models() -> object:
        """List the models."""
        return ModelList(models=answering.service.models)

    return router


def failure(problem: Problem) -> JSONResponse:
    """Return the answer to a request that gets none."""
    number = uuid.uuid4().hex
    content = asdict(Failure(problem.kind, problem.message, number))
    headers = {**problem.headers, REQUEST_ID: number}
    return JSONResponse(content, problem.status, headers=headers)
