"""Objects over REST, one at a time or listed: `/v1/objects`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from starlette.responses import Response

from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.get_query import find, page
from secondpass.server.weaviate.names import class_name, object_id
from secondpass.server.weaviate.responses import absent, refused
from secondpass.server.weaviate.writes import merged, put, read_object

T = TypeVar("T")
# Over REST the database lists fewer than over GraphQL.
_LISTED = 10


class ObjectRoutes:
    """Answers what asks for objects, stores, changes and removes them."""

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes

    async def every(self, context: RequestContext) -> Any:
        """List objects of one class, or of all."""
        asked = context.request.query_params
        vectors, tenant = _wants_vector(asked), context.caller.tenant
        offset, limit = page(_numbers(asked), default=_LISTED)
        given: dict[str, Any] = {"tenant": asked.get("tenant"), "sort": _sort(asked)}
        given["after"] = asked.get("after")
        name = asked.get("class")
        if name is None and (given["after"] is not None or given["sort"]):
            raise refused("sort and after need a class")

        def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            indexes = (
                self._classes.listed(tenant) if name is None else [self._class(tenant, name)]
            )
            skipped = offset
            for index in indexes:
                if len(found) == limit:
                    break
                window = {"offset": skipped, "limit": limit - len(found)}
                some = find(index, {**given, **window}, vectors=vectors)
                found += [one.object.to_json(index.definition, vector=vectors) for one in some]
                skipped = 0 if some else max(0, skipped - index.count())
            return found

        found = await self._handler.done(context, listed)
        return {"deprecations": [], "objects": found, "totalResults": len(found)}

    async def create(self, context: RequestContext) -> Any:
        """Store a new object; a class that is not there is made."""
        body = (await self._handler.body(context)).found
        name = class_name(body.get("class"))

        def store() -> dict[str, Any]:
            with self._classes.writing(context.caller.tenant, name, make=True) as index:
                new = read_object(index, body)
                if index.found([new.id]):
                    raise refused(f"id '{new.id}' already exists")
                (made,) = put(index, [new])
                return made.to_json(index.definition)

        return await self._written(context, store)

    async def one(self, context: RequestContext) -> Any:
        """Return an object."""
        asked = context.request.query_params
        _check_tenant(asked)
        vectors = _wants_vector(asked)

        def read() -> dict[str, Any]:
            index, name = self._place(context)
            there = index.found([name], vectors=vectors)
            if name not in there:
                raise _gone(name)
            return there[name].to_json(index.definition, vector=vectors)

        return await self._handler.done(context, read)

    async def exists(self, context: RequestContext) -> Response:
        """Return 204 where there is such an object, and 404 where not."""
        _check_tenant(context.request.query_params)

        def look() -> bool:
            index, name = self._place(context)
            return bool(index.found([name]))

        there = await self._handler.done(context, look)
        return Response(status_code=204 if there else 404)

    async def replace(self, context: RequestContext) -> Any:
        """Store an object in the place of one that is there."""
        body = (await self._handler.body(context)).found

        def store(index: ClassIndex, name: str) -> dict[str, Any]:
            new = read_object(index, body, name=name)
            if not index.found([name]):
                raise _gone(name)
            (made,) = put(index, [new])
            return made.to_json(index.definition)

        return await self._writing(context, body, store)

    async def merge(self, context: RequestContext) -> Any:
        """Change some properties of an object; what is not named stays, the vector too."""
        body = (await self._handler.body(context)).found

        def store(index: ClassIndex, name: str) -> Response:
            old = index.found([name], vectors=True).get(name)
            if old is None:
                raise _gone(name)
            new = read_object(index, merged(old, body), name=name)
            if new.vector is None and not index.definition.embeds:
                new = replace(new, vector=old.vector)
            put(index, [new])
            return Response(status_code=204)

        return await self._writing(context, body, store)

    async def delete(self, context: RequestContext) -> Any:
        """Remove an object."""

        def remove(index: ClassIndex, name: str) -> Response:
            if not index.store.delete([name]):
                raise _gone(name)
            return Response(status_code=204)

        return await self._writing(context, {}, remove)

    def _class(self, tenant: str, name: str) -> ClassIndex:
        return self._classes.find(tenant, name)

    def _place(self, context: RequestContext) -> tuple[ClassIndex, str]:
        given = context.request.path_params
        return self._class(context.caller.tenant, given["name"]), object_id(given["id"])

    async def _writing(
        self,
        context: RequestContext,
        body: Mapping[str, Any],
        do: Callable[[ClassIndex, str], Any],
    ) -> Any:
        given = context.request.path_params
        _check_tenant(context.request.query_params)
        name = object_id(given["id"])
        said = body.get("class")
        if said is not None and class_name(said) != class_name(given["name"]):
            raise refused("the class of the object is not that of the path")

        def write() -> Any:
            with self._classes.writing(context.caller.tenant, given["name"]) as index:
                return do(index, name)

        return await self._written(context, write)

    async def _written(self, context: RequestContext, write: Callable[[], T]) -> T:
        timeout = self._handler.state.settings.write_timeout
        return await self._handler.done(context, write, timeout=timeout)


def _gone(name: str) -> Exception:
    return absent(f"no object with id '{name}'")


def _check_tenant(asked: Mapping[str, str]) -> None:
    if asked.get("tenant"):
        raise refused("multi-tenancy is disabled, but request was with tenant")


def _wants_vector(asked: Mapping[str, str]) -> bool:
    return "vector" in asked.get("include", "").split(",")


def _numbers(asked: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for name in ("offset", "limit"):
        if name in asked:
            try:
                found[name] = int(asked[name])
            except ValueError:
                raise refused(f"{name} must be a number, not {asked[name]!r:.80}") from None
    return found


def _sort(asked: Mapping[str, str]) -> list[dict[str, Any]] | None:
    if not asked.get("sort"):
        return None
    names, orders = asked["sort"].split(","), asked.get("order", "").split(",")
    orders += ["asc"] * (len(names) - len(orders))
    if any(order not in ("asc", "desc", "") for order in orders):
        raise refused(f"order must be asc or desc, not {asked['order']!r:.80}")
    return [
        {"path": [name], "order": order} for name, order in zip(names, orders, strict=False)
    ]
