"""Classes over REST: `/v1/schema`."""

from __future__ import annotations

from typing import Any

from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler
from secondpass.server.weaviate.class_definition import declared_class, language_of
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.properties import declared, plain_json
from secondpass.server.weaviate.responses import refused

_FIXED = ("class", "properties", "vectorizer", "vectorConfig", "vectorIndexType")


class SchemaRoutes:
    """Answers what asks for classes, makes, changes and removes them."""

    def __init__(self, answering: RequestHandler, classes: Classes) -> None:
        self._answering, self._classes = answering, classes

    async def every(self, exchange: RequestContext) -> Any:
        """Return all classes of the tenant."""
        found = await self._answering.done(
            exchange, lambda: self._classes.listed(exchange.caller.tenant)
        )
        return {"classes": [one.declaration for one in found]}

    async def one(self, exchange: RequestContext) -> Any:
        """Return a class."""
        found = await self._answering.done(
            exchange, lambda: self._classes.find(exchange.caller.tenant, _name(exchange))
        )
        return found.declaration

    async def create(self, exchange: RequestContext) -> Any:
        """Make a class."""
        body = await self._answering.body(exchange)
        made = await self._answering.done(
            exchange, lambda: self._classes.create(exchange.caller.tenant, body.found)
        )
        return made.declaration

    async def update(self, exchange: RequestContext) -> Any:
        """Change what can be changed of a class: its description and its modules."""
        body = await self._answering.body(exchange)
        wanted = declared_class({"class": _name(exchange), **body.found})

        def change() -> dict[str, Any]:
            with self._classes.writing(exchange.caller.tenant, _name(exchange)) as index:
                return _updated(index, wanted)

        return await self._answering.done(exchange, change)

    async def delete(self, exchange: RequestContext) -> Any:
        """Remove a class with all its objects; one that is not there is removed already."""
        await self._answering.done(
            exchange, lambda: self._classes.delete(exchange.caller.tenant, _name(exchange))
        )
        return {}

    async def add_property(self, exchange: RequestContext) -> Any:
        """Declare one more property of a class."""
        body = await self._answering.body(exchange)
        wanted = declared(plain_json(body.found))

        def add() -> dict[str, Any]:
            with self._classes.writing(exchange.caller.tenant, _name(exchange)) as index:
                there = index.declaration
                names = [one["name"].lower() for one in there["properties"]]
                if wanted["name"].lower() in names:
                    raise refused(
                        f"class '{there['class']}': conflict for property '{wanted['name']}': "
                        "already in use or provided multiple times"
                    )
                index.declare({**there, "properties": [*there["properties"], wanted]})
                return wanted

        return await self._answering.done(exchange, add)


def _updated(index: ClassIndex, wanted: dict[str, Any]) -> dict[str, Any]:
    there = index.declaration
    for key in _FIXED:
        if wanted.get(key) != there.get(key):
            raise refused(f"class '{there['class']}': {key} cannot be changed")
    if language_of(wanted) != language_of(there):
        raise refused(f"class '{there['class']}': its stop words cannot be changed")
    index.declare(wanted)
    return wanted


def _name(exchange: RequestContext) -> str:
    return str(exchange.request.path_params["name"])
