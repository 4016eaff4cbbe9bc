"""The paths of the database, all under `/v1`.

What the database says of itself: that it lives, its version, its nodes.

Many objects over REST: `/v1/batch/objects`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import secondpass
from secondpass.server.http_errors import HttpError
from secondpass.server.request_context import RequestContext
from secondpass.server.request_handler import RequestHandler, Work
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.graphql_execute import GraphQLRoutes
from secondpass.server.weaviate.object_routes import ObjectRoutes
from secondpass.server.weaviate.responses import absent, fail, refused
from secondpass.server.weaviate.schema_routes import SchemaRoutes
from secondpass.server.weaviate.writes import delete_batch, store_batch

VERSION = "1.27.0"
"""What clients are told: the oldest version that all of them accept."""


class MetaRoutes:
    """Answers what clients ask before they begin."""

    def __init__(self, answering: RequestHandler, classes: Classes) -> None:
        self._answering, self._classes = answering, classes

    async def ready(self, exchange: RequestContext) -> Response:
        """Return 200 once the models are warm, 503 before that and while stopping."""
        return Response(status_code=200 if self._answering.service.ready else 503)

    async def live(self, exchange: RequestContext) -> Response:
        """Return 200."""
        return Response(status_code=200)

    async def openid(self, exchange: RequestContext) -> Response:
        """Return 404: keys are all there is."""
        raise absent("OpenID Connect is not configured")

    async def meta(self, exchange: RequestContext) -> Any:
        """Return the version and the modules; all modules of a kind mean one model."""
        settings = self._answering.service.settings
        models = {"model": {"name": self._answering.service.models[0]}}
        modules = {"reranker-transformers": models, "text2vec-transformers": {}}
        found: dict[str, Any] = {
            "hostname": str(exchange.request.base_url).rstrip("/"),
            "modules": modules,
            "version": VERSION,
        }
        if settings.grpc_port is not None:
            found["grpcMaxMessageSize"] = settings.max_body
        return found

    async def nodes(self, exchange: RequestContext) -> Any:
        """Return the one node that there is."""

        def count() -> tuple[int, int]:
            found = self._classes.listed(exchange.caller.tenant)
            return sum(one.count() for one in found), len(found)

        objects, classes = await self._answering.done(exchange, count)
        stats = {"objectCount": objects, "shardCount": classes}
        node = {"name": "secondpass", "status": "HEALTHY", "version": VERSION}
        node |= {"gitHash": secondpass.__version__}
        return {"nodes": [{**node, "stats": stats, "shards": []}]}


_OUTPUTS = ("minimal", "verbose")


class BatchRoutes:
    """Answers what stores many objects, and what removes those that pass a filter."""

    def __init__(self, answering: RequestHandler, classes: Classes) -> None:
        self._answering, self._classes = answering, classes

    async def store(self, exchange: RequestContext) -> Any:
        """Store objects; each has its own result."""
        given = (await self._answering.body(exchange)).items("objects")
        if not given:
            raise refused("objects cannot be empty")
        self._answering.service.check_count(len(given), exchange.caller.max_documents)
        return await self._answering.done(
            exchange,
            lambda: store_batch(self._classes, exchange.caller.tenant, given),
            timeout=self._answering.service.settings.write_timeout,
        )

    async def delete(self, exchange: RequestContext) -> Any:
        """Remove the objects of a class that pass a filter."""
        body = await self._answering.body(exchange)
        match, dry = body.found.get("match"), body.flag("dryRun")
        output = body.text("output", "minimal")
        if not isinstance(match, dict):
            raise refused("match must be an object")
        if output not in _OUTPUTS:
            raise refused(f"output must be one of {', '.join(_OUTPUTS)}, not {output!r:.80}")
        asked = {**match, "tenant": exchange.request.query_params.get("tenant")}

        def delete() -> dict[str, Any]:
            with self._classes.writing(exchange.caller.tenant, match.get("class")) as index:
                return delete_batch(index, asked, verbose=output == "verbose", dry=dry)

        results = await self._answering.done(
            exchange, delete, timeout=self._answering.service.settings.write_timeout
        )
        return {"match": match, "output": output, "dryRun": dry, "results": results}


DIALECT = "weaviate-database"
Offers = Mapping[str, tuple[str, Work]]
"""What a path answers: the scope that a key needs, and the work, by method."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def routes(answering: RequestHandler, classes: Classes) -> list[Route]:
    """Return the routes; a path that the database has and we do not says so in its form."""
    about = MetaRoutes(answering, classes)
    schema = SchemaRoutes(answering, classes)
    objects = ObjectRoutes(answering, classes)
    batch = BatchRoutes(answering, classes)
    graphql = GraphQLRoutes(answering, classes)
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


def _opened(answering: RequestHandler, work: Work) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await answering.answer(RequestContext(request, DIALECT, fail), work)

    return answer


def _dispatched(
    answering: RequestHandler, offers: Offers
) -> Callable[[Request], Awaitable[Response]]:
    known = {
        method: answering.handler(DIALECT, fail, scope, work)
        for method, (scope, work) in offers.items()
    }

    async def refuse(exchange: RequestContext) -> Any:
        raise HttpError(405, "method", f"{exchange.request.method} is not possible here")

    other = _opened(answering, refuse)

    async def answer(request: Request) -> Response:
        return await known.get(request.method, other)(request)

    return answer


async def _unknown(exchange: RequestContext) -> Any:
    path = exchange.request.url.path
    # Not 404: clients would take that for an object that is not there.
    raise HttpError(
        501,
        "unsupported",
        f"{path} is not supported here; objects are at /v1/objects/Class/id, with their class",
    )
