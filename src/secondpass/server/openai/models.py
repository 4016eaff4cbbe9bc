"""What can be asked for by name, in OpenAI's and Cohere's shape at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.routing import Route

from secondpass.server.access.api_keys import KeyEntry
from secondpass.server.http_errors import HttpError, default_error
from secondpass.server.openai import responses
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.state import EMBEDDER, ServerState

Row = dict[str, Any]


def routes(handler: RequestHandler) -> list[Route]:
    """Return the routes of the list and of one model."""
    state = handler.state

    async def listed(context: RequestContext) -> Any:
        wanted = context.request.query_params.get("endpoint")
        rows = await handler.done(context, lambda: list(models(state, context.caller)))
        rows = [row for row in rows if wanted is None or wanted in row["endpoints"]]
        return {"object": "list", "data": rows, "models": rows, "next_page_token": None}

    async def one(context: RequestContext) -> Any:
        name = context.request.path_params["name"]
        rows = await handler.done(context, lambda: list(models(state, context.caller)))
        # A folder's name loses the slash that it begins with, where paths have one only.
        found = next((row for row in rows if row["id"].lstrip("/") == name), None)
        if found is None:
            raise HttpError(404, "unknown model", f"there is no model {name!r}")
        return found

    list_all = handler.endpoint("models", fail, None, listed)
    return [
        Route("/v1/models", list_all),
        Route("/infinity/models", list_all),
        Route("/v1/models/{name:path}", handler.endpoint("models", fail, None, one)),
    ]


def models(state: ServerState, caller: KeyEntry) -> Iterator[Row]:
    """Yield the rerankers, the embedder and the indexes that a caller may use; blocks.

    Raises Problem (503) while they are loaded.
    """
    if not state.ready:
        raise HttpError(503, "starting", "the models are being loaded", retry_after=1)
    if caller.may("rerank"):
        yield from (_row(name, "rerank") for name in state.models)
        yield _row(EMBEDDER, "embed")
    if caller.may("search") and state.has_collections:
        catalog = state.catalog
        for namespace in catalog.namespaces(caller.tenant):
            for found in catalog.listed(caller.tenant, namespace):
                yield _row(found.place.label, "chat")


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return an error that the clients of both understand."""
    return {**responses.fail(problem, request), **default_error(problem, request)}


def _row(name: str, endpoint: str) -> Row:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "secondpass",
        "name": name,
        "endpoints": [endpoint],
    }
