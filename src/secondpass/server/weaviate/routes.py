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

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes

    async def ready(self, context: RequestContext) -> Response:
        """Return 200 once the models are warm, 503 before that and while stopping."""
        return Response(status_code=200 if self._handler.state.ready else 503)

    async def live(self, context: RequestContext) -> Response:
        """Return 200."""
        return Response(status_code=200)

    async def openid(self, context: RequestContext) -> Response:
        """Return 404: keys are all there is."""
        raise absent("OpenID Connect is not configured")

    async def meta(self, context: RequestContext) -> Any:
        """Return the version and the modules; all modules of a kind mean one model."""
        settings = self._handler.state.settings
        models = {"model": {"name": self._handler.state.models[0]}}
        modules = {"reranker-transformers": models, "text2vec-transformers": {}}
        found: dict[str, Any] = {
            "hostname": str(context.request.base_url).rstrip("/"),
            "modules": modules,
            "version": VERSION,
        }
        if settings.grpc_port is not None:
            found["grpcMaxMessageSize"] = settings.max_body
        return found

    async def nodes(self, context: RequestContext) -> Any:
        """Return the one node that there is."""

        def count() -> tuple[int, int]:
            found = self._classes.listed(context.caller.tenant)
            return sum(one.count() for one in found), len(found)

        objects, classes = await self._handler.done(context, count)
        stats = {"objectCount": objects, "shardCount": classes}
        node = {"name": "secondpass", "status": "HEALTHY", "version": VERSION}
        node |= {"gitHash": secondpass.__version__}
        return {"nodes": [{**node, "stats": stats, "shards": []}]}


_OUTPUTS = ("minimal", "verbose")


class BatchRoutes:
    """Answers what stores many objects, and what removes those that pass a filter."""

    def __init__(self, handler: RequestHandler, classes: Classes) -> None:
        self._handler, self._classes = handler, classes

    async def store(self, context: RequestContext) -> Any:
        """Store objects; each has its own result."""
        given = (await self._handler.body(context)).items("objects")
        if not given:
            raise refused("objects cannot be empty")
        self._handler.state.check_count(len(given), context.caller.max_documents)
        return await self._handler.done(
            context,
            lambda: store_batch(self._classes, context.caller.tenant, given),
            timeout=self._handler.state.settings.write_timeout,
        )

    async def delete(self, context: RequestContext) -> Any:
        """Remove the objects of a class that pass a filter."""
        body = await self._handler.body(context)
        match, dry = body.found.get("match"), body.flag("dryRun")
        output = body.text("output", "minimal")
        if not isinstance(match, dict):
            raise refused("match must be an object")
        if output not in _OUTPUTS:
            raise refused(f"output must be one of {', '.join(_OUTPUTS)}, not {output!r:.80}")
        asked = {**match, "tenant": context.request.query_params.get("tenant")}

        def delete() -> dict[str, Any]:
            with self._classes.writing(context.caller.tenant, match.get("class")) as index:
                return delete_batch(index, asked, verbose=output == "verbose", dry=dry)

        results = await self._handler.done(
            context, delete, timeout=self._handler.state.settings.write_timeout
        )
        return {"match": match, "output": output, "dryRun": dry, "results": results}


DIALECT = "weaviate-database"
Offers = Mapping[str, tuple[str, Work]]
"""What a path answers: the scope that a key needs, and the work, by method."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def routes(handler: RequestHandler, classes: Classes) -> list[Route]:
    """Return the routes; a path that the database has and we do not says so in its form."""
    about = MetaRoutes(handler, classes)
    schema = SchemaRoutes(handler, classes)
    objects = ObjectRoutes(handler, classes)
    batch = BatchRoutes(handler, classes)
    graphql = GraphQLRoutes(handler, classes)
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
        Route(path, _opened(handler, work), methods=["GET"]) for path, work in opened.items()
    ]
    found += [
        Route(path, _dispatched(handler, offers), methods=_METHODS)
        for path, offers in paths.items()
    ]
    for prefix in ("schema", "objects", "batch", "graphql", "backups", "classifications"):
        path = f"/v1/{prefix}/{{rest:path}}"
        found.append(Route(path, _opened(handler, _unknown), methods=_METHODS))
    return found


def _opened(handler: RequestHandler, work: Work) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await handler.answer(RequestContext(request, DIALECT, fail), work)

    return answer


def _dispatched(
    handler: RequestHandler, offers: Offers
) -> Callable[[Request], Awaitable[Response]]:
    known = {
        method: handler.endpoint(DIALECT, fail, scope, work)
        for method, (scope, work) in offers.items()
    }

    async def refuse(context: RequestContext) -> Any:
        raise HttpError(405, "method", f"{context.request.method} is not possible here")

    other = _opened(handler, refuse)

    async def answer(request: Request) -> Response:
        return await known.get(request.method, other)(request)

    return answer


async def _unknown(context: RequestContext) -> Any:
    path = context.request.url.path
    # Not 404: clients would take that for an object that is not there.
    raise HttpError(
        501,
        "unsupported",
        f"{path} is not supported here; objects are at /v1/objects/Class/id, with their class",
    )
