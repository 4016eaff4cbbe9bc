"""What can be asked for by name, in OpenAI's and Cohere's shape at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.routing import Route

from secondpass.server.access.api_keys import KeyEntry
from secondpass.server.http_errors import HttpError
from secondpass.server.openai import responses
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.rerank_dialects.responses import message
from secondpass.server.state import EMBEDDER, ServerState

Row = dict[str, Any]


def routes(answering: RequestHandler) -> list[Route]:
    """Return the routes of the list and of one model."""
    service = answering.service

    async def listed(exchange: RequestContext) -> Any:
        wanted = exchange.request.query_params.get("endpoint")
        rows = await answering.done(exchange, lambda: list(models(service, exchange.caller)))
        rows = [row for row in rows if wanted is None or wanted in row["endpoints"]]
        return {"object": "list", "data": rows, "models": rows, "next_page_token": None}

    async def one(exchange: RequestContext) -> Any:
        name = exchange.request.path_params["name"]
        rows = await answering.done(exchange, lambda: list(models(service, exchange.caller)))
        # A folder's name loses the slash that it begins with, where paths have one only.
        found = next((row for row in rows if row["id"].lstrip("/") == name), None)
        if found is None:
            raise HttpError(404, "unknown model", f"there is no model {name!r}")
        return found

    list_all = answering.handler("models", fail, None, listed)
    return [
        Route("/v1/models", list_all),
        Route("/infinity/models", list_all),
        Route("/v1/models/{name:path}", answering.handler("models", fail, None, one)),
    ]


def models(service: ServerState, caller: KeyEntry) -> Iterator[Row]:
    """Yield the rerankers, the embedder and the indexes that a caller may use; blocks.

    Raises Problem (503) while they are loaded.
    """
    if not service.ready:
        raise HttpError(503, "starting", "the models are being loaded", retry_after=1)
    if caller.may("rerank"):
        yield from (_row(name, "rerank") for name in service.models)
        yield _row(EMBEDDER, "embed")
    if caller.may("search") and service.has_collections:
        collections = service.collections
        for namespace in collections.namespaces(caller.tenant):
            for found in collections.listed(caller.tenant, namespace):
                yield _row(found.place.label, "chat")


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return an error that the clients of both understand."""
    return {**responses.fail(problem, request), **message(problem, request)}


def _row(name: str, endpoint: str) -> Row:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "secondpass",
        "name": name,
        "endpoints": [endpoint],
    }
