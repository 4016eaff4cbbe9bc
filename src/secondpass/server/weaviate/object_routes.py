"""Objects over REST, one at a time or listed: `/v1/objects`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.responses import Response

from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Operation
from secondpass.server.state import ServerState
from secondpass.server.weaviate.classes import Classes, ClassIndex
from secondpass.server.weaviate.errors import not_found, unprocessable
from secondpass.server.weaviate.get_query import parse_get_query
from secondpass.server.weaviate.names import parse_class_name, parse_uuid
from secondpass.server.weaviate.responses import DIALECT, error_body, list_reply
from secondpass.server.weaviate.schemas import (
    ListRequest,
    ObjectChange,
    check_tenant,
    parse_list_request,
    parse_object_change,
    wants_vector,
)
from secondpass.server.weaviate.search import search
from secondpass.server.weaviate.writes import merge_properties, prepare_object, store_objects

ObjectJson = dict[str, Any]
_operation = partial(Operation, dialect=DIALECT, fail=error_body)


class ObjectRoutes:
    """Lists, reads, stores, changes and deletes objects."""

    def __init__(self, state: ServerState, classes: Classes) -> None:
        self._classes, self._timeout = classes, state.settings.write_timeout

    def operations(self) -> Mapping[str, Mapping[str, Operation[Any, Any]]]:
        """Return the operations by path and method."""
        read = partial(_operation, scope="search", read=None)
        write = partial(_operation, scope="write", timeout=self._timeout)
        change = partial(write, parse=_parse_change)
        return {
            "/v1/objects": {
                "GET": read(parse=_parse_list, run=self._list),
                "POST": write(parse=_parse_new, run=self._create),
            },
            "/v1/objects/{name}/{id}": {
                "GET": read(parse=_parse_get, run=self._get),
                "HEAD": read(parse=_parse_get, run=self._exists, respond=_existence),
                "PUT": change(run=self._replace),
                "PATCH": change(run=self._merge, respond=_no_content),
                "DELETE": change(read=None, run=self._delete, respond=_no_content),
            },
        }

    def _list(
        self, state: ServerState, context: RequestContext, request: ListRequest
    ) -> dict[str, Any]:
        """List the objects of one class, or of all classes one after the other."""
        tenant, name = context.caller.tenant, request.class_name
        classes = (
            self._classes.list_classes(tenant)
            if name is None
            else [self._classes.get(tenant, name)]
        )
        objects: list[ObjectJson] = []
        offset = request.offset
        for index in classes:
            if len(objects) == request.limit:
                break
            page = {"offset": offset, "limit": request.limit - len(objects)}
            definition, vectors = index.definition, request.vectors
            arguments = {**request.arguments, **page}
            hits = search(index, parse_get_query(arguments, definition, vectors=vectors))
            objects += [hit.object.to_json(definition, vector=vectors) for hit in hits]
            offset = 0 if hits else max(0, offset - index.count())
        return list_reply(objects)

    def _create(
        self, state: ServerState, context: RequestContext, body: Mapping[str, Any]
    ) -> ObjectJson:
        """Store a new object, and create its class if there is none."""
        with self._classes.lock(context.caller.tenant, body["class"], create=True) as index:
            new = prepare_object(index, body)
            if index.get_objects([new.id]):
                raise unprocessable(f"id '{new.id}' already exists")
            (stored,) = store_objects(index, [new])
            return stored.to_json(index.definition)

    def _get(self, state: ServerState, context: RequestContext, vectors: bool) -> ObjectJson:
        index, id_ = self._locate(context)
        objects = index.get_objects([id_], vectors=vectors)
        if id_ not in objects:
            raise _missing(id_)
        return objects[id_].to_json(index.definition, vector=vectors)

    def _exists(self, state: ServerState, context: RequestContext, vectors: bool) -> bool:
        index, id_ = self._locate(context)
        return bool(index.get_objects([id_]))

    def _replace(
        self, state: ServerState, context: RequestContext, change: ObjectChange
    ) -> ObjectJson:
        with self._classes.lock(context.caller.tenant, change.class_name) as index:
            new = prepare_object(index, change.body, object_id=change.id)
            if not index.get_objects([change.id]):
                raise _missing(change.id)
            (stored,) = store_objects(index, [new])
            return stored.to_json(index.definition)

    def _merge(self, state: ServerState, context: RequestContext, change: ObjectChange) -> None:
        """Change some properties of an object; the others stay, and so does the vector."""
        with self._classes.lock(context.caller.tenant, change.class_name) as index:
            old = index.get_objects([change.id], vectors=True).get(change.id)
            if old is None:
                raise _missing(change.id)
            body = merge_properties(old, change.body)
            new = prepare_object(index, body, object_id=change.id)
            if new.vector is None and not index.definition.embeds:
                new = replace(new, vector=old.vector)
            store_objects(index, [new])

    def _delete(
        self, state: ServerState, context: RequestContext, change: ObjectChange
    ) -> None:
        with self._classes.lock(context.caller.tenant, change.class_name) as index:
            if not index.store.delete([change.id]):
                raise _missing(change.id)

    def _locate(self, context: RequestContext) -> tuple[ClassIndex, str]:
        """Return the class and the id in the path; raises HttpError (404 or 422)."""
        params = context.request.path_params
        index = self._classes.get(context.caller.tenant, params["name"])
        return index, parse_uuid(params["id"])


def _missing(id_: str) -> HttpError:
    return not_found(f"no object with id '{id_}'")


def _parse_list(context: RequestContext, body: None) -> ListRequest:
    return parse_list_request(context.request.query_params)


def _parse_new(context: RequestContext, body: Body) -> dict[str, Any]:
    return {**body.found, "class": parse_class_name(body.found.get("class"))}


def _parse_get(context: RequestContext, body: None) -> bool:
    """Return whether the vector is requested."""
    check_tenant(context.request.query_params)
    return wants_vector(context.request.query_params)


def _parse_change(context: RequestContext, body: Body | None) -> ObjectChange:
    request, values = context.request, {} if body is None else body.found
    return parse_object_change(request.path_params, request.query_params, values)


def _existence(context: RequestContext, vectors: bool, exists: bool) -> Response:
    return Response(status_code=204 if exists else 404)


def _no_content(context: RequestContext, change: ObjectChange, result: None) -> Response:
    return Response(status_code=204)
