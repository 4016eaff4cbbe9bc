"""Health, readiness, model description and metrics of a server."""

from __future__ import annotations

import time

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import secondpass
from secondpass.server.request_handler import RequestHandler
from secondpass.server.scheduler.scheduled_models import TOKENS_AT_ONCE
from secondpass.server.served_database import status_of
from secondpass.server.state import MAX_CONCURRENT_REQUESTS, ServerState
from secondpass.server.telemetry.metrics import Metrics


class HealthRoutes:
    """What monitors and clients request before they send work; no key is needed."""

    def __init__(self, handler: RequestHandler, metrics: Metrics) -> None:
        self._metrics = metrics
        self._state: ServerState = handler.state

    async def health(self, request: Request) -> Response:
        """Return 200 while the process runs."""
        return JSONResponse({"status": "ok", "unix": time.time()})

    async def ready(self, request: Request) -> Response:
        """Return 200 once the models are warm, 503 before that and while stopping.

        A database that cannot be reached is named, and does not change the status: other
        requests are answered. An index in object storage is named with the version that is
        searched, and with what kept the server from looking for a newer one; one that other
        processes search, with those that do not answer.
        """
        ready = self._state.ready
        body: dict[str, object] = {"ready": ready}
        if self._state.settings.databases:
            body["databases"] = status_of(self._state.databases)
        indexes = self._state.index_statuses
        if indexes:
            body["indexes"] = indexes
        return JSONResponse(body, 200 if ready else 503)

    async def container_ready(self, request: Request) -> Response:
        """Return 204 as Weaviate's container does, 503 before the models are warm."""
        return Response(status_code=204 if self._state.ready else 503)

    async def container_live(self, request: Request) -> Response:
        """Return 204."""
        return Response(status_code=204)

    async def meta(self, request: Request) -> Response:
        """Return what Weaviate's database shows of the module."""
        return JSONResponse({"model": {"name": self._state.models[0]}})

    async def info(self, request: Request) -> Response:
        """Return TEI's description of the model and the limits."""
        settings, model = self._state.settings, self._state.default_model
        return JSONResponse(
            {
                "model_id": self._state.models[0],
                "model_sha": None,
                "model_dtype": model.precision,
                "served_model_name": self._state.models[0],
                "model_type": {
                    "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
                },
                "max_concurrent_requests": MAX_CONCURRENT_REQUESTS,
                "max_input_length": model.max_length,
                "max_batch_tokens": TOKENS_AT_ONCE,
                "max_batch_requests": None,
                "max_client_batch_size": settings.max_documents,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": secondpass.__version__,
                "sha": None,
                "docker_label": None,
            }
        )

    async def metrics(self, request: Request) -> Response:
        """Return the metrics for Prometheus, in the format that it accepts."""
        accept = request.headers.get("accept", "")
        text, content_type = await anyio.to_thread.run_sync(self._metrics.text, accept)
        return Response(text, headers={"content-type": content_type})
