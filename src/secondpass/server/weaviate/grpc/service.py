"""Weaviate's gRPC service: one operation a call, with a message as body and as response."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from secondpass.server.http_errors import HttpError, default_error
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation, RequestHandler, raw_bytes
from secondpass.server.state import ServerState
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.get_query import parse_filter
from secondpass.server.weaviate.grpc.batch import batch_reply, delete_reply, parse_batch
from secondpass.server.weaviate.grpc.messages import (
    BatchDeleteRequest,
    BatchObjectsRequest,
    SearchRequest,
    check_message,
    decode,
)
from secondpass.server.weaviate.grpc.replies import search_reply
from secondpass.server.weaviate.grpc.search_request import (
    parse_filters,
    parse_search,
    parse_selection,
)
from secondpass.server.weaviate.rerank import search_and_rerank
from secondpass.server.weaviate.writes import delete_batch, store_batch

MAX_REQUEST_BYTES = 2_000_000
"""The limit of a search or a deletion, whose vectors and filters need far less."""
_DIALECT = "weaviate-grpc"
_SERVICE = "/weaviate.v1.Weaviate"


class WeaviateService:
    """The calls of the service; messages are decoded in the worker thread of the call."""

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes

    def routes(self) -> list[Route]:
        """Return a route for each call, at its gRPC path."""
        return [
            Route(f"{_SERVICE}/{name}", self._handler.serve(operation), methods=["POST"])
            for name, operation in self._operations().items()
        ]

    def _operations(self) -> Mapping[str, Operation[Any, Any]]:
        call = partial(
            Operation,
            dialect=_DIALECT,
            fail=default_error,
            read=raw_bytes,
            respond=_respond,
        )
        timeout = self._handler.state.settings.write_timeout
        write = partial(call, scope="write", timeout=timeout)
        unsupported = partial(call, read=None, parse=_unsupported)
        return {
            "Search": call(scope="search", max_body=MAX_REQUEST_BYTES, run=self._search),
            "BatchObjects": write(run=self._store),
            "BatchDelete": write(max_body=MAX_REQUEST_BYTES, run=self._delete),
            # Clients count by GraphQL, unless the server's version is newer than ours.
            "Aggregate": unsupported(scope="search"),
            "BatchReferences": unsupported(scope="write"),
            "TenantsGet": unsupported(scope="search"),
        }

    def _search(self, state: ServerState, context: RequestContext, content: bytes) -> bytes:
        """Search a class, and rerank the hits if requested."""
        started = time.perf_counter()
        request = _decode(SearchRequest, content)
        index = self._classes.get(context.caller.tenant, request.collection)
        definition = index.definition
        query = parse_search(request, definition)
        selection = parse_selection(request, definition)
        hits = search_and_rerank(index, query, state, context)
        reply = search_reply(
            hits,
            query,
            definition,
            metadata=request.metadata,
            selection=selection,
            seconds=time.perf_counter() - started,
        )
        return _encode(reply)

    def _store(self, state: ServerState, context: RequestContext, content: bytes) -> bytes:
        """Store objects; the reply names those that were not stored."""
        started = time.perf_counter()
        # Each object is checked by itself, so that it fails alone.
        request = decode(BatchObjectsRequest, content)
        state.check_count(len(request.objects), context.caller.max_documents)
        bodies, errors = parse_batch(request)
        results = store_batch(self._classes, context.caller.tenant, list(bodies.values()))
        for position, result in zip(bodies, results, strict=True):
            if result.stored is None:
                errors[position] = result.error
        return _encode(batch_reply(errors, seconds=time.perf_counter() - started))

    def _delete(self, state: ServerState, context: RequestContext, content: bytes) -> bytes:
        """Delete the objects of a class that pass a filter."""
        started = time.perf_counter()
        request = _decode(BatchDeleteRequest, content)
        with self._classes.lock(context.caller.tenant, request.collection) as index:
            match: dict[str, Any] = {"tenant": request.tenant or None}
            if request.HasField("filters"):
                match["where"] = parse_filters(request.filters, index.definition)
            where = parse_filter(match, index.definition)
            result = delete_batch(index, where, dry_run=request.dry_run)
        seconds = time.perf_counter() - started
        return _encode(delete_reply(result, verbose=request.verbose, seconds=seconds))


def _decode(message_class: Any, content: bytes) -> Any:
    message = decode(message_class, content)
    check_message(message)
    return message


def _encode(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


def _respond(context: RequestContext, query: bytes, content: bytes) -> Response:
    return Response(content, media_type="application/proto")


def _unsupported(context: RequestContext, body: None) -> None:
    name = context.request.url.path.rpartition("/")[2]
    raise HttpError(501, "unsupported", f"{name} is not supported here")
