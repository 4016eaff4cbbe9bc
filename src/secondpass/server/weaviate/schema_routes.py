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

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes

    async def every(self, context: RequestContext) -> Any:
        """Return all classes of the tenant."""
        found = await self._handler.done(
            context, lambda: self._classes.listed(context.caller.tenant)
        )
        return {"classes": [one.declaration for one in found]}

    async def one(self, context: RequestContext) -> Any:
        """Return a class."""
        found = await self._handler.done(
            context, lambda: self._classes.find(context.caller.tenant, _name(context))
        )
        return found.declaration

    async def create(self, context: RequestContext) -> Any:
        """Make a class."""
        body = await self._handler.body(context)
        made = await self._handler.done(
            context, lambda: self._classes.create(context.caller.tenant, body.found)
        )
        return made.declaration

    async def update(self, context: RequestContext) -> Any:
        """Change what can be changed of a class: its description and its modules."""
        body = await self._handler.body(context)
        wanted = declared_class({"class": _name(context), **body.found})

        def change() -> dict[str, Any]:
            with self._classes.writing(context.caller.tenant, _name(context)) as index:
                return _updated(index, wanted)

        return await self._handler.done(context, change)

    async def delete(self, context: RequestContext) -> Any:
        """Remove a class with all its objects; one that is not there is removed already."""
        await self._handler.done(
            context, lambda: self._classes.delete(context.caller.tenant, _name(context))
        )
        return {}

    async def add_property(self, context: RequestContext) -> Any:
        """Declare one more property of a class."""
        body = await self._handler.body(context)
        wanted = declared(plain_json(body.found))

        def add() -> dict[str, Any]:
            with self._classes.writing(context.caller.tenant, _name(context)) as index:
                there = index.declaration
                names = [one["name"].lower() for one in there["properties"]]
                if wanted["name"].lower() in names:
                    raise refused(
                        f"class '{there['class']}': conflict for property '{wanted['name']}': "
                        "already in use or provided multiple times"
                    )
                index.declare({**there, "properties": [*there["properties"], wanted]})
                return wanted

        return await self._handler.done(context, add)


def _updated(index: ClassIndex, wanted: dict[str, Any]) -> dict[str, Any]:
    there = index.declaration
    for key in _FIXED:
        if wanted.get(key) != there.get(key):
            raise refused(f"class '{there['class']}': {key} cannot be changed")
    if language_of(wanted) != language_of(there):
        raise refused(f"class '{there['class']}': its stop words cannot be changed")
    index.declare(wanted)
    return wanted


def _name(context: RequestContext) -> str:
    return str(context.request.path_params["name"])
