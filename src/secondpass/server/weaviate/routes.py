"""The paths of the database, all under `/v1`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from secondpass.server.exchange import Exchange
from secondpass.server.http_errors import Problem
from secondpass.server.request_handler import Answering, Work
from secondpass.server.weaviate.about_paths import AboutPaths
from secondpass.server.weaviate.batch_paths import BatchPaths
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.graphql_path import GraphQLPath
from secondpass.server.weaviate.object_routes import ObjectPaths
from secondpass.server.weaviate.responses import fail
from secondpass.server.weaviate.schema_routes import SchemaPaths

DIALECT = "weaviate-database"
Offers = Mapping[str, tuple[str, Work]]
"""What a path answers: the scope that a key needs, and the work, by method."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def routes(answering: Answering, classes: Classes) -> list[Route]:
    """Return the routes; a path that the database has and we do not says so in its form."""
    about = AboutPaths(answering, classes)
    schema = SchemaPaths(answering, classes)
    objects = ObjectPaths(answering, classes)
    batch = BatchPaths(answering, classes)
    graphql = GraphQLPath(answering, classes)
    opened: dict[str, Work] = {
        "/v1/.well-known/ready": about.ready,
        "/v1/.well-known/live": about.live,
        "/v1/.well-known/openid-configuration": about.openid,
    }
    paths: dict[str, Offers] = {
        "/v1/meta": {"GET": ("search", about.meta)},
        "/v1/nodes": {"GET": ("search", about.nodes)},
        "/v1/graphql": {"POST": ("search", graphql.query)},
        "/v1/schema": {"GET": ("search", schema.every), "POST": ("write", schema.create)},
        "/v1/schema/{name}": {
            "GET": ("search", schema.one),
            "PUT": ("write", schema.update),
            "DELETE": ("write", schema.delete),
        },
        "/v1/schema/{name}/properties": {"POST": ("write", schema.add_property)},
        "/v1/objects": {"GET": ("search", objects.every), "POST": ("write", objects.create)},
        "/v1/objects/{name}/{id}": {
            "GET": ("search", objects.one),
            "HEAD": ("search", objects.exists),
            "PUT": ("write", objects.replace),
            "PATCH": ("write", objects.merge),
            "DELETE": ("write", objects.delete),
        },
        "/v1/batch/objects": {
            "POST": ("write", batch.store),
            "DELETE": ("write", batch.delete),
        },
    }
    found = [
        Route(path, _opened(answering, work), methods=["GET"]) for path, work in opened.items()
    ]
    found += [
        Route(path, _dispatched(answering, offers), methods=_METHODS)
        for path, offers in paths.items()
    ]
    for prefix in ("schema", "objects", "batch", "graphql", "backups", "classifications"):
        path = f"/v1/{prefix}/{{rest:path}}"
        found.append(Route(path, _opened(answering, _unknown), methods=_METHODS))
    return found


def _opened(answering: Answering, work: Work) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await answering.answer(Exchange(request, DIALECT, fail), work)

    return answer


def _dispatched(
    answering: Answering, offers: Offers
) -> Callable[[Request], Awaitable[Response]]:
    known = {
        method: answering.handler(DIALECT, fail, scope, work)
        for method, (scope, work) in offers.items()
    }

    async def refuse(exchange: Exchange) -> Any:
        raise Problem(405, "method", f"{exchange.request.method} is not possible here")

    other = _opened(answering, refuse)

    async def answer(request: Request) -> Response:
        return await known.get(request.method, other)(request)

    return answer


async def _unknown(exchange: Exchange) -> Any:
    path = exchange.request.url.path
    # Not 404: clients would take that for an object that is not there.
    raise Problem(
        501,
        "unsupported",
        f"{path} is not supported here; objects are at /v1/objects/Class/id, with their class",
    )
