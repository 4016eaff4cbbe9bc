"""`/api/v1/rerank` and `/api/v1/models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from secondpass.option_types import Custom, Option, offered
from secondpass.options import RerankOptions
from secondpass.server.api_v1.responses import Ranking, write_ranking
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.api_v1.schemas import DocumentBody, Query, body_with_options
from secondpass.server.request_handler import RequestHandler


def _model_problem(value: object) -> str | None:
    return None if isinstance(value, str) else "it must be a string"


class _Options(RerankOptions, total=False):
    """The options of a rerank request."""

    model: Annotated[
        str | None,
        Option(
            None,
            "Name of a model that is served; the default model for null.",
            Custom({"type": "string"}, _model_problem),
        ),
    ]


RerankBody = body_with_options(
    "RerankBody",
    "A query and documents to put in order: the options of `Reranker.rerank`.",
    {"query": Query, "documents": Annotated[list[str | DocumentBody], Field(min_length=1)]},
    _Options,
    # The client has the documents.
    defaults={"return_documents": False},
)


@dataclass
class ModelList:
    """The names of the models that are served, the default first."""

    models: list[str]


def router(handler: RequestHandler) -> APIRouter:
    """Return the routes."""
    routes = make_router(handler, "rerank", "rerank")

    @routes.post("/rerank", response_model=Ranking)
    async def rerank(body: RerankBody, context: Context) -> object:  # type: ignore[valid-type]
        """Put documents in the order of their relevance to the query."""
        request: Any = body
        handler.count(context, len(request.documents))
        documents = [d if isinstance(d, str) else d.document() for d in request.documents]
        options: Any = {key: getattr(request, key) for key in offered(RerankOptions, "http")}
        response = await handler.run(
            context,
            lambda: handler.state.model(request.model).rerank(
                request.query, documents, **options
            ),
        )
        return write_ranking(response, context.id)

    @routes.get("/models", response_model=ModelList)
    async def models() -> object:
        """List the models."""
        return ModelList(models=handler.state.models)

    return routes
