"""Middleware that logs, counts and traces every request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondpass.observe import StageAttributes, use_observer
from secondpass.server.request_context import REQUEST_ID, RequestRecord, request_id, use_record
from secondpass.server.state import ServerState
from secondpass.server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from secondpass.server.telemetry.tracing import Traces

_log = logging.getLogger("secondpass.server")
_CLIENT_DISCONNECTED = 499


class TelemetryMiddleware:
    """Reports each request to logs, metrics and traces when its response is sent.

    `probes` are the paths that monitors poll: they are logged at the level debug, and neither
    counted nor traced. Every response gets the request's id as a header.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: ServerState,
        metrics: Metrics,
        traces: Traces | None,
        probes: frozenset[str],
    ) -> None:
        self._app, self._state, self._metrics = app, state, metrics
        self._traces, self._probes = traces, probes
        self._stages = _StageObserver(metrics, traces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(request_id(Request(scope)), scope["method"], scope["path"])
        is_probe = record.path in self._probes

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status, record.first_byte = message["status"], record.seconds
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[REQUEST_ID] = record.id
            await send(message)

        traces = None if is_probe else self._traces
        with (
            use_record(record),
            nullcontext() if traces is None else traces.request(scope, record),
            use_observer(self._stages),
        ):
            try:
                await self._app(scope, receive, send_recorded)
            except Exception as error:
                if record.status:
                    raise
                _log.error("the request failed", exc_info=error)
                await _internal_error(record)(scope, receive, send_recorded)
            finally:
                record.status = record.status or _CLIENT_DISCONNECTED
                if not is_probe:
                    self._metrics.count(record)
                level = logging.DEBUG if is_probe else _log_level(record.status)
                if _log.isEnabledFor(level):
                    _log.log(level, "request", extra={"fields": self._log_fields(record)})

    def _log_fields(self, record: RequestRecord) -> StageAttributes:
        context, caller = record.context, record.caller
        fields: StageAttributes = {
            "method": record.method,
            "path": record.path,
            "status": record.status,
            "ms": round(record.seconds * 1000, 1),
            "problem": record.problem,
            "waiting_tokens": round(self._state.queue.waiting),
        }
        if context is not None:
            fields |= {"dialect": context.dialect, "documents": context.documents}
            if context.ignored:
                fields["ignored_fields"] = len(context.ignored)
        if caller is not None:
            fields |= {"key_id": caller.id if caller.id else None, "tenant": caller.tenant}
        return fields


class _StageObserver:
    """Reports the stages of searches to metrics and traces."""

    def __init__(self, metrics: Metrics, traces: Traces | None) -> None:
        self._metrics, self._traces = metrics, traces

    @contextmanager
    def stage(self, name: str, told: StageAttributes) -> Iterator[None]:
        started = time.perf_counter()
        try:
            with nullcontext() if self._traces is None else self._traces.stage(name, told):
                yield
        finally:
            self._metrics.stage(name, time.perf_counter() - started)

    def past(self, name: str, began: float, ended: float) -> None:
        self._metrics.stage(name, ended - began)
        if self._traces is not None:
            self._traces.past(name, began, ended)


def _log_level(status: int) -> int:
    if status == 429:
        return logging.WARNING
    return logging.ERROR if status >= 500 else logging.INFO


def _internal_error(record: RequestRecord) -> JSONResponse:
    content = {"error": "failed", "message": "something went wrong", "id": record.id}
    return JSONResponse(content, 500)
