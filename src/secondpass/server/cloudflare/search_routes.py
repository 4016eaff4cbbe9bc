"""Endpoints that search an instance or a namespace, and answer from the results."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from secondpass.server.cloudflare.chat import HIT, MISS, ChatCompletion
from secondpass.server.cloudflare.context import ApiRequest, AppContext
from secondpass.server.cloudflare.operation import fail_event
from secondpass.server.cloudflare.responses import ok
from secondpass.server.cloudflare.search import run_search
from secondpass.server.cloudflare.search_request import (
    SearchRequest,
    parse_instance_search,
    parse_namespace_search,
)
from secondpass.server.streaming import EventStream

CACHE_STATUS_HEADER = "cf-aig-cache-status"
_CACHE_KIND = "search"


def search_instance(request: ApiRequest) -> Response:
    """Return the chunks of an instance for a query."""
    return search_response(request.app, parse_instance_search(request))


def search_namespace(request: ApiRequest) -> Response:
    """Return the chunks of several instances of a namespace for a query."""
    return search_response(request.app, parse_namespace_search(request))


def chat_instance(request: ApiRequest) -> Response:
    """Return an answer from the chunks of an instance."""
    return chat_response(request.app, parse_instance_search(request, chat=True))


def chat_namespace(request: ApiRequest) -> Response:
    """Return an answer from the chunks of several instances of a namespace."""
    return chat_response(request.app, parse_namespace_search(request, chat=True))


def stream_chat_instance(request: ApiRequest) -> EventStream:
    """Stream an answer from the chunks of an instance."""
    return stream_chat(request.app, parse_instance_search(request, chat=True))


def stream_chat_namespace(request: ApiRequest) -> EventStream:
    """Stream an answer from the chunks of several instances of a namespace."""
    return stream_chat(request.app, parse_namespace_search(request, chat=True))


def search_response(app: AppContext, request: SearchRequest) -> Response:
    """Run a search, or return the cached result of a similar query."""
    lookup = request.cache_lookup(_CACHE_KIND)
    cached = None if lookup is None else app.cache.get(lookup)
    if cached is not None:
        return JSONResponse(ok(cached), headers=_cache_header(HIT))
    result = run_search(app, request)
    body = {"search_query": result.query, "query_kind": "text", "chunks": result.rows}
    if request.several:
        body["errors"] = result.errors_json()
    if lookup is None:
        return JSONResponse(ok(body))
    if result.complete:
        app.cache.put(lookup, body)
    return JSONResponse(ok(body), headers=_cache_header(MISS))


def chat_response(app: AppContext, request: SearchRequest) -> Response:
    """Run a chat completion and return it as one body."""
    completion = ChatCompletion(app, request)
    return JSONResponse(completion.to_json(), headers=_cache_header(completion.cache_status))


def stream_chat(app: AppContext, request: SearchRequest) -> EventStream:
    """Start a chat completion in server-sent events."""
    completion = ChatCompletion(app, request)
    return EventStream(completion.events(), fail_event, _cache_header(completion.cache_status))


def _cache_header(status: str | None) -> dict[str, str]:
    return {} if status is None else {CACHE_STATUS_HEADER: status}
