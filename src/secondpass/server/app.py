"""The routes of a server, and its life from loading to draining."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from secondpass.errors import MissingExtraError

try:
    import anyio.to_thread
    import prometheus_client  # noqa: F401
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError as error:
    raise MissingExtraError("A server", package="fastapi", extra="server") from error

import secondpass
from secondpass.server.about import About
from secondpass.server.answering import Answering
from secondpass.server.cloudflare import AISearch
from secondpass.server.dialects import (
    cohere,
    detect,
    infinity,
    jina,
    mixedbread,
    tei,
    vllm,
    voyage,
    weaviate,
)
from secondpass.server.dialects.dialect import Dialect
from secondpass.server.keys import KeyFile
from secondpass.server.metrics import Metrics
from secondpass.server.native import failure, native
from secondpass.server.problems import Problem, invalid
from secondpass.server.reranking import Choose, endpoint, score_endpoint
from secondpass.server.service import RerankService
from secondpass.server.settings import ServerSettings

_SLASHES = re.compile("/{2,}")


def create_app(settings: ServerSettings) -> FastAPI:
    """Return the application; its models are loaded when it starts.

    Raises InputError for settings that cannot be, MissingExtraError without the extra
    `server`.
    """
    service = RerankService(settings)
    keys = None if settings.keys is None else KeyFile(settings.keys)
    if keys is not None:
        keys.entries()
    answering = Answering(service, Metrics(service), keys)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(service.load)
        yield
        await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="secondpass",
        version=secondpass.__version__,
        lifespan=life,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(native(answering))
    app.router.routes += _routes(answering)
    app.add_middleware(_OneSlash)
    app.add_middleware(_Bounded, most=settings.max_body)

    @app.exception_handler(Problem)
    async def answer_problem(request: Request, problem: Problem) -> JSONResponse:
        return failure(problem)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()
        )
        return failure(invalid(told[:1000]))

    return app


def _routes(answering: Answering) -> list[Route]:
    about = About(answering)
    posted: dict[str, Dialect | Choose] = {
        "/v1/rerank": detect.on_v1_rerank,
        "/v1/v1/rerank": detect.on_v1_rerank,
        "/v2/rerank": cohere.V2,
        "/v1/v2/rerank": cohere.V2,
        "/v1/reranking": mixedbread.MIXEDBREAD,
        "/rerank": detect.on_rerank,
        "/cohere/v1/rerank": cohere.V1,
        "/cohere/v2/rerank": cohere.V2,
        "/jina/v1/rerank": jina.JINA,
        "/voyage/v1/rerank": voyage.VOYAGE,
        "/mixedbread/v1/reranking": mixedbread.MIXEDBREAD,
        "/tei/rerank": tei.TEI,
        "/infinity/rerank": infinity.INFINITY,
        "/vllm/rerank": vllm.VLLM,
        "/vllm/v1/rerank": vllm.VLLM,
        "/vllm/v2/rerank": vllm.VLLM,
        "/weaviate-reranker/rerank": weaviate.WEAVIATE,
    }
    routes = [
        Route(path, endpoint(answering, choice), methods=["POST"])
        for path, choice in posted.items()
    ]
    for prefix in ("", "/vllm"):
        for path in ("/score", "/v1/score"):
            routes.append(Route(prefix + path, score_endpoint(answering), methods=["POST"]))
    for prefix in ("", "/tei", "/infinity", "/vllm"):
        routes.append(Route(f"{prefix}/health", about.health))
    for prefix in ("", "/tei"):
        routes.append(Route(f"{prefix}/info", about.info))
    for prefix in ("", "/weaviate-reranker"):
        routes += [
            Route(f"{prefix}/meta", about.meta),
            Route(f"{prefix}/.well-known/ready", about.container_ready),
            Route(f"{prefix}/.well-known/live", about.container_live),
        ]
    routes += [Route(path, about.models) for path in ("/v1/models", "/infinity/models")]
    routes += AISearch(answering).routes
    return [*routes, Route("/ready", about.ready), Route("/metrics", about.metrics)]


class _Bounded:
    """Refuses bodies that are too long; dialects do so themselves, in their own words."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and int(said) > self._most:
            await failure(self._problem())(scope, receive, send)
            return
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._most:
                raise self._problem()
            return message

        await self._app(scope, counted, send)

    def _problem(self) -> Problem:
        return Problem(413, "too large", f"the body is longer than {self._most:,} bytes")


class _OneSlash:
    """Takes doubled and trailing slashes out of paths, which base URLs often bring."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _SLASHES.sub("/", scope["path"])
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self._app(scope, receive, send)
