"""The ASGI application of a server: its routes and middlewares, its start and its end."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from secondpass.errors import InputError, MissingExtraError

try:
    import anyio.to_thread
    import graphql  # noqa: F401
    import prometheus_client  # noqa: F401
    from fastapi import FastAPI
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Match, Route
    from starlette.types import ASGIApp, Receive, Scope, Send
except ImportError as error:
    raise MissingExtraError("A server", package="fastapi", extra="server") from error

import secondpass
from secondpass.server import knowledgesdk
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.access.content_length import FramingGuard
from secondpass.server.access.cross_origin import CrossOriginGuard
from secondpass.server.access.slow_clients import BodyTimeout
from secondpass.server.api_v1.responses import error_body as native_error
from secondpass.server.api_v1.routes import routers as api_v1_routers
from secondpass.server.cloudflare import AISearch
from secondpass.server.cloudflare.responses import fail as cloudflare_error
from secondpass.server.health import HealthRoutes
from secondpass.server.http_errors import HttpError, MethodError, default_error
from secondpass.server.http_json import Reply
from secondpass.server.mcp.responses import error_body as mcp_error
from secondpass.server.mcp.routes import McpHttpRoutes
from secondpass.server.openai.routes import routes as openai_routes
from secondpass.server.request_context import Fail, current_record, request_id
from secondpass.server.request_handler import RequestHandler
from secondpass.server.rerank_dialects.routes import routes as rerank_routes
from secondpass.server.rerank_dialects.tei import error_body as tei_error
from secondpass.server.rerank_dialects.weaviate_container import error_body as container_error
from secondpass.server.settings import ServerSettings
from secondpass.server.state import Elsewhere, ServerState
from secondpass.server.telemetry.metrics import Metrics
from secondpass.server.telemetry.middleware import TelemetryMiddleware
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.routes import routes as weaviate_routes
from secondpass.server.web.routes import WebRoutes

if TYPE_CHECKING:
    from secondpass.server.grpc_bridge import GrpcBridge
    from secondpass.server.telemetry.tracing import Traces

_log = logging.getLogger("secondpass.server")
_WHERE = (
    "rerank APIs are at /v1/rerank, /v2/rerank and /rerank, embeddings at /v1/embeddings, "
    "/v1/embed, /v2/embed and /embed, or under their own prefix (/cohere, /jina, /voyage, "
    "/mixedbread, /pinecone, /tei, /infinity, /vllm, /bedrock, /nvidia); OpenAI's are under "
    "/v1, Weaviate's under /v1/objects and /v1/graphql, Cloudflare's under /client/v4, "
    "KnowledgeSDK's is /search, MCP's is /mcp, the native one is described by "
    "/api/v1/openapi.json, and the page that shows rankings is /ui"
)
# By the first part of a path; without one, a body that the clients of all others understand.
_ERROR_BODIES: Mapping[str, Fail] = {
    "api": native_error,
    "client": cloudflare_error,
    "cloudflare": cloudflare_error,
    "knowledgesdk": knowledgesdk.error_body,
    "mcp": mcp_error,
    "tei": tei_error,
    "weaviate-reranker": container_error,
}
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SLASHES = re.compile("/{2,}")


def create_app(
    settings: ServerSettings,
    *,
    traces: Traces | None = None,
    elsewhere: Elsewhere | None = None,
) -> FastAPI:
    """Build the application; its models are loaded when it starts.

    `traces` is closed when it ends. `elsewhere`: see `ServerState`. Raises InputError for keys
    that cannot be read, and MissingExtraError without the extra `server`, or `grpc` where the
    settings have its port.
    """
    state = ServerState(settings, elsewhere)
    keys = None if settings.keys is None else KeyFile(settings.keys)
    if keys is not None:
        # So that a damaged file is an error at the start.
        keys.entries()
    handler, metrics = RequestHandler(state, keys), Metrics(state)
    mcp_routes, classes = McpHttpRoutes(handler), Classes(state)
    grpc = None if settings.grpc_port is None else _grpc_bridge(handler, classes)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(state.load)
        if grpc is not None:
            try:
                await grpc.start(app)
            except InputError as error:
                app.state.failed = error
                await anyio.to_thread.run_sync(state.close)
                raise
        _log.info("ready", extra={"fields": _log_fields(state, grpc)})
        yield
        _log.info("stopping", extra={"fields": {"under_way": state.active_requests}})
        if grpc is not None:
            await grpc.stop()
        await mcp_routes.close()
        drained = await anyio.to_thread.run_sync(state.close)
        if traces is not None:
            await anyio.to_thread.run_sync(traces.close)
        _log.info("stopped", extra={"fields": {"drained": drained}})

    app = FastAPI(
        title="secondpass",
        version=secondpass.__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.server, app.state.grpc, app.state.failed = state, grpc, None
    for router in api_v1_routers(handler):
        app.include_router(router)
    health = HealthRoutes(handler, metrics)
    probes = _probe_routes(health)
    app.router.routes += [*_routes(handler, health, classes), *probes, *mcp_routes.routes()]
    if grpc is not None:
        app.router.routes += grpc.routes
    for status in (404, 405):
        app.add_exception_handler(status, _unknown_path)
    app.add_middleware(BodyTimeout, seconds=settings.body_timeout)
    app.add_middleware(FramingGuard)
    if keys is None:
        app.add_middleware(CrossOriginGuard)
    app.add_middleware(
        TelemetryMiddleware,
        state=state,
        metrics=metrics,
        traces=traces,
        probes=frozenset(route.path for route in probes),
    )
    # Added last and so the outermost: all others see the normalized path.
    app.add_middleware(_SlashNormalizer)
    return app


def _grpc_bridge(handler: RequestHandler, classes: Classes) -> GrpcBridge:
    from secondpass.server.grpc_bridge import GrpcBridge
    from secondpass.server.weaviate.grpc.service import WeaviateService

    return GrpcBridge(handler.state, WeaviateService(handler, classes).routes())


def _routes(handler: RequestHandler, health: HealthRoutes, classes: Classes) -> list[Route]:
    cloudflare = AISearch(handler)
    return [
        *rerank_routes(handler),
        *(Route(f"{prefix}/info", health.info) for prefix in ("", "/tei")),
        *(Route(f"{prefix}/meta", health.meta) for prefix in ("", "/weaviate-reranker")),
        *openai_routes(handler),
        *knowledgesdk.routes(handler, public=cloudflare.public.search_operation),
        *weaviate_routes(handler, classes),
        *cloudflare.routes,
        *WebRoutes(handler).routes(),
    ]


def _probe_routes(health: HealthRoutes) -> list[Route]:
    routes = [Route("/ready", health.ready), Route("/metrics", health.metrics)]
    for prefix in ("", "/tei", "/infinity", "/vllm"):
        routes.append(Route(f"{prefix}/health", health.health))
    for prefix in ("", "/weaviate-reranker"):
        routes += [
            Route(f"{prefix}/.well-known/ready", health.container_ready),
            Route(f"{prefix}/.well-known/live", health.container_live),
        ]
    return routes


def _log_fields(state: ServerState, grpc: GrpcBridge | None) -> dict[str, object]:
    settings = state.settings
    return {
        "version": secondpass.__version__,
        "models": state.models,
        "indexes": list(settings.indexes),
        "databases": list(settings.databases),
        "data": None if settings.data is None else str(settings.data),
        "keys": settings.keys is not None,
        **({} if grpc is None else {"grpc_port": grpc.port}),
    }


def _unknown_path(request: Request, error: Exception) -> Response:
    """Return the error for a path or a method that no API has, as every client reads it."""
    assert isinstance(error, HTTPException)
    path, record = request.url.path, current_record()
    failure = HttpError(404, "not found", f"there is no path {path[:200]!r}: {_WHERE}")
    kind = "not_found_error"
    if error.status_code == 405:
        failure = MethodError(request.method, path, _methods(request))
        kind = "invalid_request_error"
    id_ = request_id(request) if record is None else record.id
    body = {"message": failure.message, "type": kind, "param": None, "code": failure.status}
    content = {**default_error(failure, id_), "error": body}
    fail = _ERROR_BODIES.get(path.split("/")[1])
    if fail is not None:
        content = fail(failure, id_)
    return Reply(content, failure.status, headers=failure.headers)


def _methods(request: Request) -> list[str]:
    """Return the methods that a path has."""
    scopes = [{**request.scope, "method": method} for method in _METHODS]
    return [
        scope["method"]
        for scope in scopes
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


class _SlashNormalizer:
    """Removes doubled and trailing slashes from paths, which base URLs often bring."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _SLASHES.sub("/", scope["path"])
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)
