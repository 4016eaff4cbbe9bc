"""`/api/v1/rerank` and `/api/v1/models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from secondpass.server.api_v1.responses import Ranking, write_ranking
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import STRICT, Count, DocumentBody, Flag, Query, Share
from secondpass.server.request_handler import RequestHandler


@dataclass
class RerankBody:
    """A query and documents to put in order.

    `max_length` bounds what the model reads at once, in tokens; `passages` says how longer
    documents are scored: "max", "mean", "first" or "top-N-mean" of their windows. Results
    less likely to be relevant than `min_probability` are left out.
    """

    __pydantic_config__ = STRICT

    query: Query
    documents: Annotated[list[str | DocumentBody], Field(min_length=1)]
    model: str | None = None
    top_k: Count | None = None
    min_probability: Share | None = None
    max_length: Count | None = None
    passages: str | None = None
    return_documents: Flag = False


@dataclass
class ModelList:
    """The names of the models that are served, the default first."""

    models: list[str]


def router(handler: RequestHandler) -> APIRouter:
    """Return the routes."""
    routes = make_router(handler, "rerank", "rerank")

    @routes.post("/rerank", response_model=Ranking)
    async def rerank(body: RerankBody, context: Context) -> object:
        """Put documents in the order of their relevance to the query."""
        handler.count(context, len(body.documents))
        documents = [d if isinstance(d, str) else d.document() for d in body.documents]
        response = await handler.run(
            context,
            lambda: handler.state.model(body.model).rerank(
                body.query,
                documents,
                top_k=body.top_k,
                min_probability=body.min_probability,
                max_length=body.max_length,
                passages=body.passages,
                return_documents=body.return_documents,
            ),
        )
        return write_ranking(response, context.id)

    @routes.get("/models", response_model=ModelList)
    async def models() -> object:
        """List the models."""
        return ModelList(models=handler.state.models)

    return routes
