"""Every request as an operator sees it: a line, counts and a trace."""

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
from secondpass.server.http_errors import HttpError
from secondpass.server.request_context import (
    REQUEST_ID,
    RequestRecord,
    answering_for,
    current,
    request_id,
)
from secondpass.server.state import ServerState
from secondpass.server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from secondpass.server.telemetry.tracing import Traces

_log = logging.getLogger("secondpass.server")
_FAILED = (500, 502)
_HUNG_UP = 499


class TelemetryMiddleware:
    """Tells logs, counts and traces of every request, when its answer is out.

    `probes` are the paths that monitors ask again and again: their lines are for debugging,
    and they are neither counted nor traced. Every answer gets the request's id as a header.
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
        self._stages = _Stages(metrics, traces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = RequestRecord(request_id(Request(scope)), scope["method"], scope["path"])
        probe = seen.path in self._probes

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status, seen.first_byte = message["status"], seen.seconds
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[REQUEST_ID] = seen.id
            await send(message)

        traced = self._traces is not None and not probe
        with (
            answering_for(seen),
            self._traces.request(scope, seen) if self._traces and traced else nullcontext(),
            use_observer(self._stages),
        ):
            try:
                await self._app(scope, receive, sent)
            except Exception as error:
                if seen.status:
                    raise
                _log.error("the request failed", exc_info=error)
                await _failed(seen)(scope, receive, sent)
            finally:
                seen.status = seen.status or _HUNG_UP
                if not probe:
                    self._metrics.count(seen)
                level = logging.DEBUG if probe else _level(seen.status)
                if _log.isEnabledFor(level):
                    _log.log(level, "request", extra={"fields": self._fields(seen)})

    def _fields(self, seen: RequestRecord) -> StageAttributes:
        context, caller = seen.context, seen.caller
        fields: StageAttributes = {
            "method": seen.method,
            "path": seen.path,
            "status": seen.status,
            "ms": round(seen.seconds * 1000, 1),
            "problem": seen.problem,
            "waiting_tokens": round(self._state.queue.waiting),
        }
        if context is not None:
            fields |= {"dialect": context.dialect, "documents": context.documents}
        if caller is not None:
            fields |= {"key_id": caller.id if caller.id else None, "tenant": caller.tenant}
        return fields


class _Stages:
    """Sees the stages of searches for counts and traces."""

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


def _level(status: int) -> int:
    if status == 429:
        return logging.WARNING
    return logging.ERROR if status >= 500 else logging.INFO


def _failed(seen: RequestRecord) -> JSONResponse:
    told = {"error": "failed", "message": "something went wrong", "id": seen.id}
    return JSONResponse(told, 500)


def refused(problem: HttpError) -> None:
    """Note why the request that is being answered here gets no answer, or only half of one."""
    seen = current()
    if seen is not None:
        seen.problem = problem.kind
    if problem.status in _FAILED:
        _log.error("the request failed", exc_info=problem)
