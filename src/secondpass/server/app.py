"""The routes of a server, and its life from loading to draining."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from secondpass.errors import InputError, MissingExtraError

try:
    import anyio.to_thread
    import graphql  # noqa: F401
    import prometheus_client  # noqa: F401
    from fastapi import FastAPI
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send
except ImportError as error:
    raise MissingExtraError("A server", package="fastapi", extra="server") from error

import secondpass
from secondpass.server import knowledgesdk
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.access.cross_origin import CrossOriginGuard
from secondpass.server.access.slow_clients import BodyTimeout
from secondpass.server.api_v1.routes import routers as api_v1_routers
from secondpass.server.cloudflare import AISearch
from secondpass.server.health import HealthRoutes
from secondpass.server.mcp.routes import McpHttpRoutes
from secondpass.server.openai.routes import routes as openai_routes
from secondpass.server.request_handler import RequestHandler
from secondpass.server.rerank_dialects.routes import routes as rerank_routes
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from secondpass.server.telemetry.metrics import Metrics
from secondpass.server.telemetry.middleware import TelemetryMiddleware
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.routes import routes as weaviate_routes

if TYPE_CHECKING:
    from secondpass.server.grpc_bridge import GrpcBridge
    from secondpass.server.telemetry.tracing import Traces

_log = logging.getLogger("secondpass.server")
_SLASHES = re.compile("/{2,}")


def create_app(settings: ServerSettings, *, traces: Traces | None = None) -> FastAPI:
    """Return the application; its models are loaded when it starts.

    `traces` is closed when it ends. Raises InputError for settings that cannot be,
    MissingExtraError without the extra `server`, or `grpc` where there is a port for it.
    """
    state = ServerState(settings)
    keys = None if settings.keys is None else KeyFile(settings.keys)
    if keys is not None:
        keys.entries()
    handler, metrics = RequestHandler(state, keys), Metrics(state)
    agents, classes = McpHttpRoutes(handler), Classes(state)
    grpc = None if settings.grpc_port is None else _over_grpc(handler, classes)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(state.load)
        if grpc is not None:
            try:
                await grpc.start(app)
            except InputError as error:
                app.state.failed = error
                await anyio.to_thread.run_sync(state.close)
                raise
        _log.info("ready", extra={"fields": _summary(state, grpc)})
        yield
        _log.info("stopping", extra={"fields": {"under_way": state.at_once}})
        if grpc is not None:
            await grpc.stop()
        await agents.close()
        drained = await anyio.to_thread.run_sync(state.close)
        if traces is not None:
            await anyio.to_thread.run_sync(traces.close)
        _log.info("stopped", extra={"fields": {"drained": drained}})

    app = FastAPI(
        title="secondpass",
        version=secondpass.__version__,
        lifespan=life,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.server, app.state.grpc, app.state.failed = state, grpc, None
    for router in api_v1_routers(handler):
        app.include_router(router)
    about = HealthRoutes(handler, metrics)
    probes = _probes(about)
    app.router.routes += [*_routes(handler, about, classes), *probes, *agents.routes()]
    if grpc is not None:
        app.router.routes += grpc.routes
    app.add_middleware(BodyTimeout, seconds=settings.body_timeout)
    if keys is None:
        app.add_middleware(CrossOriginGuard)
    app.add_middleware(
        TelemetryMiddleware,
        state=state,
        metrics=metrics,
        traces=traces,
        probes=frozenset(route.path for route in probes),
    )
    # The outermost, so that all others see the path that is meant.
    app.add_middleware(_OneSlash)
    return app


def _over_grpc(handler: RequestHandler, classes: Classes) -> GrpcBridge:
    from secondpass.server.grpc_bridge import GrpcBridge
    from secondpass.server.weaviate.grpc.service import WeaviateService

    return GrpcBridge(handler.state, WeaviateService(handler, classes).routes())


def _routes(handler: RequestHandler, about: HealthRoutes, classes: Classes) -> list[Route]:
    routes: list[Route] = rerank_routes(handler)
    for prefix in ("", "/tei"):
        routes.append(Route(f"{prefix}/info", about.info))
    for prefix in ("", "/weaviate-reranker"):
        routes.append(Route(f"{prefix}/meta", about.meta))
    cloudflare = AISearch(handler)
    return [
        *routes,
        *openai_routes(handler),
        *knowledgesdk.routes(handler, public=cloudflare.public.search_operation),
        *weaviate_routes(handler, classes),
        *cloudflare.routes,
    ]


def _probes(about: HealthRoutes) -> list[Route]:
    routes = [Route("/ready", about.ready), Route("/metrics", about.metrics)]
    for prefix in ("", "/tei", "/infinity", "/vllm"):
        routes.append(Route(f"{prefix}/health", about.health))
    for prefix in ("", "/weaviate-reranker"):
        routes += [
            Route(f"{prefix}/.well-known/ready", about.container_ready),
            Route(f"{prefix}/.well-known/live", about.container_live),
        ]
    return routes


def _summary(state: ServerState, grpc: GrpcBridge | None) -> dict[str, object]:
    settings = state.settings
    return {
        "version": secondpass.__version__,
        "models": state.models,
        "indexes": list(settings.indexes),
        "data": None if settings.data is None else str(settings.data),
        "keys": settings.keys is not None,
        **({} if grpc is None else {"grpc_port": grpc.port}),
    }


class _OneSlash:
    """Takes doubled and trailing slashes out of paths, which base URLs often bring."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _SLASHES.sub("/", scope["path"])
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)
