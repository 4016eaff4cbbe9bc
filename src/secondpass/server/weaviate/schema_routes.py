"""Classes over REST: `/v1/schema`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation
from secondpass.server.state import ServerState
from secondpass.server.weaviate.class_definition import complete_class, text_language
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.properties import clean_json, complete_property
from secondpass.server.weaviate.responses import DIALECT, error_body

Declaration = dict[str, Any]
_FIXED = ("class", "properties", "vectorizer", "vectorConfig", "vectorIndexType")
_operation = partial(Operation, dialect=DIALECT, fail=error_body)


class SchemaRoutes:
    """Lists, creates, changes and deletes classes."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    def operations(self) -> Mapping[str, Mapping[str, Operation[Any, Any]]]:
        """Return the operations by path and method."""
        read = partial(_operation, scope="search", read=None)
        write = partial(_operation, scope="write")
        return {
            "/v1/schema": {
                "GET": read(run=self._list),
                "POST": write(run=self._create),
            },
            "/v1/schema/{name}": {
                "GET": read(run=self._get),
                "PUT": write(run=self._update),
                "DELETE": write(read=None, run=self._delete),
            },
            "/v1/schema/{name}/properties": {"POST": write(run=self._add_property)},
        }

    def _list(self, state: ServerState, context: RequestContext, body: None) -> dict[str, Any]:
        classes = self._classes.list_classes(context.caller.tenant)
        return {"classes": [index.declaration for index in classes]}

    def _get(self, state: ServerState, context: RequestContext, body: None) -> Declaration:
        return self._classes.get(context.caller.tenant, _name(context)).declaration

    def _create(self, state: ServerState, context: RequestContext, body: Body) -> Declaration:
        return self._classes.create(context.caller.tenant, body.found).declaration

    def _update(self, state: ServerState, context: RequestContext, body: Body) -> Declaration:
        """Change the description and the modules of a class; the rest is fixed."""
        declaration = complete_class({"class": _name(context), **body.found})
        with self._classes.lock(context.caller.tenant, _name(context)) as index:
            _check_fixed(index, declaration)
            index.save_declaration(declaration)
        return declaration

    def _delete(self, state: ServerState, context: RequestContext, body: None) -> Declaration:
        """Delete a class with all its objects; does nothing if there is none."""
        self._classes.delete(context.caller.tenant, _name(context))
        return {}

    def _add_property(
        self, state: ServerState, context: RequestContext, body: Body
    ) -> Declaration:
        added = complete_property(clean_json(body.found))
        with self._classes.lock(context.caller.tenant, _name(context)) as index:
            declaration = index.declaration
            names = [item["name"].lower() for item in declaration["properties"]]
            if added["name"].lower() in names:
                raise unprocessable(
                    f"class '{declaration['class']}': conflict for property "
                    f"'{added['name']}': already in use or provided multiple times"
                )
            properties = [*declaration["properties"], added]
            index.save_declaration({**declaration, "properties": properties})
        return added


def _check_fixed(index: ClassIndex, declaration: Mapping[str, Any]) -> None:
    """Raise HttpError (422) for a change of what is fixed when a class is created."""
    current = index.declaration
    for key in _FIXED:
        if declaration.get(key) != current.get(key):
            raise unprocessable(f"class '{current['class']}': {key} cannot be changed")
    if text_language(declaration) != text_language(current):
        raise unprocessable(f"class '{current['class']}': its stop words cannot be changed")


def _name(context: RequestContext) -> str:
    return str(context.request.path_params["name"])
