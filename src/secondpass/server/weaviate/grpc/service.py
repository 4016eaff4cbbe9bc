"""The calls of Weaviate's gRPC that are answered.

What is understood of a message and not supported.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from starlette.responses import Response
from starlette.routing import Route

from secondpass.server.http_errors import HttpError, default_error
from secondpass.server.http_json import read_content
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.get_query import both_passes
from secondpass.server.weaviate.grpc.messages import (
    BatchDeleteReply,
    BatchDeleteRequest,
    BatchObjectsReply,
    BatchObjectsRequest,
    SearchRequest,
    chosen_of,
    decoded,
)
from secondpass.server.weaviate.grpc.replies import object_of, reply_of
from secondpass.server.weaviate.grpc.search_request import arguments_of, asked_of, where_of
from secondpass.server.weaviate.responses import refused, shown
from secondpass.server.weaviate.writes import delete_batch, store_batch

MOST_PARTS = 100_000
"""How many messages may be within one: two bytes make one, and each is looked at."""


def refuse_unsupported(message: Any, most: int = MOST_PARTS) -> int:
    """Return how many messages are within one.

    Raises Problem (422) for more than `most`, and where one holds what is not supported.
    """
    seen = 0
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        kind = field.message_type
        if kind.name == "Unsupported":
            raise refused(f"{field.name} is not supported here")
        if kind.GetOptions().map_entry or kind.file.name != message.DESCRIPTOR.file.name:
            # Values, which hold nothing but what they are.
            continue
        # Not by the field's label, which one version of protobuf names otherwise than the next.
        for one in value if hasattr(value, "__len__") else [value]:
            seen += 1
            if seen > most:
                raise refused(f"the message has more than {MOST_PARTS:,} parts")
            seen += refuse_unsupported(one, most - seen)
    return seen


DIALECT = "weaviate-grpc"
MOST_ASKED = 2_000_000
"""How many bytes a search or a deletion may have, whose vectors and filters need far less."""
_SERVICE = "/weaviate.v1.Weaviate"


class WeaviateService:
    """Answers the calls: a message in the body of a request, and one in its answer."""

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes

    def routes(self) -> list[Route]:
        """Return a route for each call, by the path that gRPC has for it."""
        calls: Mapping[str, tuple[str, Work]] = {
            "Search": ("search", self.search),
            "BatchObjects": ("write", self.store),
            "BatchDelete": ("write", self.delete),
            # Clients count by GraphQL, as long as they see no newer version than ours.
            "Aggregate": ("search", _unsupported),
            "BatchReferences": ("write", _unsupported),
            "TenantsGet": ("search", _unsupported),
        }
        return [
            Route(
                f"{_SERVICE}/{name}",
                self._handler.endpoint(DIALECT, default_error, scope, work),
                methods=["POST"],
            )
            for name, (scope, work) in calls.items()
        ]

    async def search(self, context: RequestContext) -> Response:
        """Search a class, and rerank what is found if that is asked for."""
        started = time.perf_counter()
        content = await self._content(context, most=MOST_ASKED)

        def search() -> Any:
            request = _decoded(SearchRequest, content)
            index = self._classes.find(context.caller.tenant, request.collection)
            asked = asked_of(request, index.definition)
            chosen = chosen_of(request, index.definition)
            given = arguments_of(request, index)
            found = both_passes(index, given, asked, self._handler.state, context)
            return reply_of(
                found,
                index.definition,
                wanted=request.metadata,
                chosen=chosen,
                asked=asked,
                took=time.perf_counter() - started,
            )

        return await self._told(context, search)

    async def store(self, context: RequestContext) -> Response:
        """Store objects; the answer names those that could not be stored."""
        started = time.perf_counter()
        content = await self._content(context)

        def store() -> Any:
            request = decoded(BatchObjectsRequest, content)
            self._handler.counting(context, len(request.objects))
            bodies, failed, left = [], {}, MOST_PARTS
            for place, one in enumerate(request.objects):
                try:
                    left -= refuse_unsupported(one, left)
                    bodies.append((place, object_of(one)))
                except HttpError as problem:
                    failed[place] = problem.message
            results = store_batch(
                self._classes, context.caller.tenant, [body for _, body in bodies]
            )
            for (place, _), told in zip(bodies, results, strict=True):
                for error in told["result"].get("errors", {}).get("error", ()):
                    failed[place] = error["message"]
            reply = BatchObjectsReply(took=time.perf_counter() - started)
            for place in sorted(failed):
                reply.errors.add(index=place, error=shown(failed[place]))
            return reply

        return await self._told(context, store, writes=True)

    async def delete(self, context: RequestContext) -> Response:
        """Remove the objects of a class that pass a filter."""
        started = time.perf_counter()
        content = await self._content(context, most=MOST_ASKED)

        def delete() -> Any:
            request = _decoded(BatchDeleteRequest, content)
            with self._classes.writing(context.caller.tenant, request.collection) as index:
                match: dict[str, Any] = {"tenant": request.tenant or None}
                if request.HasField("filters"):
                    match["where"] = where_of(request.filters, index.definition)
                done = delete_batch(index, match, verbose=request.verbose, dry=request.dry_run)
            reply = BatchDeleteReply(
                took=time.perf_counter() - started,
                matches=done["matches"],
                # Of a dry run the database says how many it would be.
                successful=min(done["matches"], done["limit"]),
                failed=done["failed"],
            )
            for one in done["objects"] or ():
                reply.objects.add(uuid=uuid.UUID(one["id"]).bytes, successful=True)
            return reply

        return await self._told(context, delete, writes=True)

    async def _content(self, context: RequestContext, *, most: int | None = None) -> bytes:
        allowed = self._handler.most_bytes(context)
        most = allowed if most is None else min(most, allowed)
        return await read_content(context.request, most=most)

    async def _told(
        self, context: RequestContext, work: Callable[[], Any], *, writes: bool = False
    ) -> Response:
        timeout = self._handler.state.settings.write_timeout if writes else None
        content = await self._handler.done(
            context, lambda: work().SerializeToString(), timeout=timeout
        )
        return Response(content, media_type="application/proto")


def _decoded(kind: Any, content: bytes) -> Any:
    found = decoded(kind, content)
    refuse_unsupported(found)
    return found


async def _unsupported(context: RequestContext) -> Any:
    name = context.request.url.path.rpartition("/")[2]
    raise HttpError(501, "unsupported", f"{name} is not supported here")
