"""Paths of Weaviate's REST and GraphQL interfaces, all under `/v1`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import secondpass
from secondpass.server.http_errors import HttpError, MethodError
from secondpass.server.http_json import Body
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import Endpoint, Operation, RequestHandler
from secondpass.server.state import ServerState
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.errors import not_found, unprocessable
from secondpass.server.weaviate.get_query import parse_filter
from secondpass.server.weaviate.graphql_execute import (
    ExecutionContext,
    SchemaCache,
    execute_query,
)
from secondpass.server.weaviate.object_routes import ObjectRoutes
from secondpass.server.weaviate.responses import (
    DIALECT,
    batch_reply,
    delete_reply,
    error_body,
    meta_reply,
    nodes_reply,
)
from secondpass.server.weaviate.schema_routes import SchemaRoutes
from secondpass.server.weaviate.schemas import (
    BatchDelete,
    GraphQLRequest,
    parse_batch,
    parse_batch_delete,
    parse_graphql_request,
)
from secondpass.server.weaviate.writes import (
    BatchResult,
    DeleteResult,
    delete_batch,
    store_batch,
)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_PREFIXES = ("schema", "objects", "batch", "graphql", "backups", "classifications")
_operation = partial(Operation, dialect=DIALECT, fail=error_body)


def routes(handler: RequestHandler, classes: Classes) -> list[Route]:
    """Return the routes; paths and methods of Weaviate that are not supported get an error."""
    state = handler.state
    paths = {
        **MetaRoutes(state, classes).operations(),
        **GraphQLRoutes(classes).operations(),
        **BatchRoutes(state, classes).operations(),
        **SchemaRoutes(classes).operations(),
        **ObjectRoutes(state, classes).operations(),
    }
    for prefix in _PREFIXES:
        paths[f"/v1/{prefix}/{{rest:path}}"] = {}
    return [
        Route(path, _dispatch(handler, path, operations), methods=_METHODS)
        for path, operations in paths.items()
    ]


class MetaRoutes:
    """Health, version, modules and nodes: what clients request before anything else."""

    def __init__(self, state: ServerState, classes: Classes) -> None:
        self._state, self._classes = state, classes

    def operations(self) -> Mapping[str, Mapping[str, Operation[Any, Any]]]:
        """Return the operations by path and method."""
        keyless = partial(_operation, scope=None, keyless=True, read=None)
        search = partial(_operation, scope="search", read=None)
        return {
            "/v1/.well-known/ready": {"GET": keyless(respond=self._ready)},
            "/v1/.well-known/live": {"GET": keyless(respond=_live)},
            "/v1/.well-known/openid-configuration": {"GET": keyless(parse=_openid)},
            "/v1/meta": {"GET": search(respond=self._meta)},
            "/v1/nodes": {"GET": search(run=self._count, respond=_nodes)},
        }

    def _ready(self, context: RequestContext, query: None, result: None) -> Response:
        """Return 200 once the models are loaded, and 503 before and while stopping."""
        return Response(status_code=200 if self._state.ready else 503)

    def _meta(self, context: RequestContext, query: None, result: None) -> dict[str, Any]:
        settings = self._state.settings
        return meta_reply(
            # Its own address: nothing of the request, which could name any host.
            f"http://{settings.host}:{settings.port}",
            self._state.models[0],
            max_grpc_message=None if settings.grpc_port is None else settings.max_body,
        )

    def _count(
        self, state: ServerState, context: RequestContext, query: None
    ) -> tuple[int, int]:
        """Return how many objects and classes the tenant has."""
        classes = self._classes.list_classes(context.caller.tenant)
        return sum(index.count() for index in classes), len(classes)


class GraphQLRoutes:
    """Queries: `/v1/graphql`. Errors of a query are in the result, with status 200."""

    def __init__(self, classes: Classes) -> None:
        self._classes, self._schemas = classes, SchemaCache()

    def operations(self) -> Mapping[str, Mapping[str, Operation[Any, Any]]]:
        """Return the operations by path and method."""
        query = _operation(scope="search", parse=_parse_graphql, run=self._execute)
        return {"/v1/graphql": {"POST": query}}

    def _execute(
        self, state: ServerState, context: RequestContext, request: GraphQLRequest
    ) -> dict[str, Any]:
        tenant = context.caller.tenant
        classes = self._classes.list_classes(tenant)
        if not classes:
            raise unprocessable(
                "no graphql provider present, this is most likely because no schema is "
                "present. Import a schema first!"
            )
        schema = self._schemas.get(tenant, classes)
        by_name = {index.definition.name: index for index in classes}
        return execute_query(schema, request, ExecutionContext(by_name, state, context))


class BatchRoutes:
    """Many objects at once: `/v1/batch/objects`."""

    def __init__(self, state: ServerState, classes: Classes) -> None:
        self._classes, self._timeout = classes, state.settings.write_timeout

    def operations(self) -> Mapping[str, Mapping[str, Operation[Any, Any]]]:
        """Return the operations by path and method."""
        write = partial(_operation, scope="write", timeout=self._timeout)
        return {
            "/v1/batch/objects": {
                "POST": write(parse=_parse_batch, run=self._store, respond=_batch),
                "DELETE": write(parse=_parse_delete, run=self._delete, respond=_deleted),
            }
        }

    def _store(
        self, state: ServerState, context: RequestContext, objects: list[Any]
    ) -> list[BatchResult]:
        state.check_count(len(objects), context.caller.max_documents)
        return store_batch(self._classes, context.caller.tenant, objects)

    def _delete(
        self, state: ServerState, context: RequestContext, request: BatchDelete
    ) -> DeleteResult:
        name = request.match.get("class")
        with self._classes.lock(context.caller.tenant, name) as index:
            where = parse_filter(request.arguments, index.definition)
            return delete_batch(index, where, dry_run=request.dry_run)


def _dispatch(
    handler: RequestHandler, path: str, operations: Mapping[str, Operation[Any, Any]]
) -> Endpoint:
    """Build the endpoint of a path, which has an operation for each method."""
    endpoints = {method: handler.serve(operation) for method, operation in operations.items()}
    refuse = partial(_refuse_method, frozenset(operations)) if operations else _refuse_path
    refusal: Operation[None, None] = _operation(
        scope=None, keyless=True, read=None, parse=refuse
    )
    fallback = handler.serve(refusal)

    async def handle(request: Request) -> Response:
        return await endpoints.get(request.method, fallback)(request)

    return handle


def _refuse_method(allowed: frozenset[str], context: RequestContext, body: None) -> None:
    raise MethodError(context.request.method, context.request.url.path, allowed)


def _refuse_path(context: RequestContext, body: None) -> None:
    # Not 404: clients would take that for an object that does not exist.
    raise HttpError(
        501,
        "unsupported",
        f"{context.request.url.path} is not supported here; objects are at "
        "/v1/objects/Class/id, with their class",
    )


def _live(context: RequestContext, query: None, result: None) -> Response:
    return Response(status_code=200)


def _openid(context: RequestContext, body: None) -> None:
    # Clients take 404 for a server that only has API keys.
    raise not_found("OpenID Connect is not configured")


def _nodes(context: RequestContext, query: None, result: tuple[int, int]) -> dict[str, Any]:
    objects, classes = result
    return nodes_reply(objects, classes, build=secondpass.__version__)


def _parse_graphql(context: RequestContext, body: Body) -> GraphQLRequest:
    return parse_graphql_request(body)


def _parse_batch(context: RequestContext, body: Body) -> list[Any]:
    return parse_batch(body)


def _parse_delete(context: RequestContext, body: Body) -> BatchDelete:
    return parse_batch_delete(body, context.request.query_params)


def _batch(
    context: RequestContext, objects: list[Any], results: list[BatchResult]
) -> list[dict[str, Any]]:
    return batch_reply(results)


def _deleted(
    context: RequestContext, request: BatchDelete, result: DeleteResult
) -> dict[str, Any]:
    return delete_reply(request.match, result, output=request.output)
