"""Traces: a span a request, and below it one for each stage of the search.

The names of a span's attributes, by the conventions that readers of traces know.

Requests: OpenTelemetry's for HTTP servers, which are stable. Stages: OpenInference's span
kinds and `reranker.*`, and OpenTelemetry's `gen_ai.*`, whose operation `retrieval` is in
development and whose `rerank` is proposed. What neither has a name for is `secondpass.*`.

Whether to make traces, by the standard environment variables, and where they go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from starlette.datastructures import Headers
from starlette.routing import Match, Route
from starlette.types import Scope

import secondpass
from secondpass.errors import InputError, MissingExtraError
from secondpass.observe import StageAttributes
from secondpass.server.request_context import RequestRecord

SpanAttributes = dict[str, str | bool | int | float]
_STAGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "first_pass": {
        "mode": ("secondpass.mode",),
        "candidates": ("secondpass.candidates",),
        "documents": ("secondpass.documents",),
    },
    "rerank": {
        "model": ("reranker.model_name", "gen_ai.request.model"),
        "top_k": ("reranker.top_k", "gen_ai.rerank.top_n"),
        "documents": ("gen_ai.rerank.candidate.count",),
        "tokens": ("gen_ai.usage.input_tokens",),
        "status": ("secondpass.status",),
    },
}
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
_QUERY = {
    "first_pass": ("input.value", "gen_ai.retrieval.query.text"),
    "rerank": ("input.value", "reranker.query"),
}
_FIXED: Mapping[str, SpanAttributes] = {
    "first_pass": {
        "openinference.span.kind": "RETRIEVER",
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "secondpass",
    },
    "rerank": {
        "openinference.span.kind": "RERANKER",
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "secondpass",
    },
}


def described(name: str, told: StageAttributes, *, queries: bool) -> tuple[str, SpanAttributes]:
    """Return the title and the attributes of a stage; None is no value."""
    found: SpanAttributes = dict(_FIXED.get(name, {}))
    names = dict(_STAGES.get(name, {}))
    if queries:
        names["query"] = _QUERY.get(name, ())
    for key, value in told.items():
        if value is not None:
            found |= dict.fromkeys(names.get(key, ()), value)
    model = told.get("model")
    title = str(_FIXED.get(name, {}).get("gen_ai.operation.name", name))
    return (title if model is None else f"{title} {model}"), found


def of_request(scope: Scope, seen: RequestRecord) -> SpanAttributes:
    """Return what is known of a request before it is answered; no query string, no address."""
    return {
        "http.request.method": _method(seen),
        "url.path": seen.path,
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
        "secondpass.request_id": seen.id,
    }


def of_answer(scope: Scope, seen: RequestRecord) -> tuple[str, SpanAttributes]:
    """Return the name of a request's span, and what is known when it is answered."""
    found: SpanAttributes = {"http.response.status_code": seen.status}
    if seen.status >= 500:
        found["error.type"] = str(seen.status) if seen.problem is None else seen.problem
    route = _route(scope)
    if route is not None:
        found["http.route"] = route
    context, caller = seen.context, seen.caller
    if context is not None:
        found |= {
            "openinference.span.kind": "CHAIN",
            "secondpass.dialect": context.dialect,
            "secondpass.documents": context.documents,
        }
    if caller is not None:
        found["secondpass.tenant"] = caller.tenant
        if caller.id:
            found["secondpass.key_id"] = caller.id
    method = _method(seen).replace("_OTHER", "HTTP")
    return (method if route is None else f"{method} {route}"), found


def _method(seen: RequestRecord) -> str:
    # Clients may send any word: the convention keeps names few.
    return seen.method if seen.method in _METHODS else "_OTHER"


def _route(scope: Scope) -> str | None:
    """Return the path that was matched, with names where parameters stand."""
    found = getattr(scope.get("route"), "path", None)
    if isinstance(found, str) or "app" not in scope:
        return found
    # FastAPI names its own routes only.
    routes = (route for route in scope["app"].routes if isinstance(route, Route))
    return next((r.path for r in routes if r.matches(scope)[0] is Match.FULL), None)


_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = "OTEL_TRACES_EXPORTER"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_SPOKEN = "http/protobuf"


def traces_wanted(asked: bool | None, environ: Mapping[str, str] = os.environ) -> Traces | None:
    """Return where traces go, or None where there are to be none.

    `asked` is True or False where somebody said so, else the variables of OpenTelemetry
    decide: with an endpoint or an exporter there are traces, with `OTEL_SDK_DISABLED` or the
    exporter "none" there are none. Raises MissingExtraError without the extra `otel`, and
    InputError for an exporter or a protocol other than OTLP over HTTP.
    """
    exporter = environ.get(_EXPORTER, "").strip().lower()
    if asked is None:
        asked = bool(exporter) or any(environ.get(name, "").strip() for name in _ENDPOINTS)
        disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        asked = asked and not disabled and exporter != "none"
    if not asked:
        return None
    if exporter not in ("", "none", "otlp"):
        raise InputError(
            f"Traces cannot go to {exporter!r}",
            where=_EXPORTER,
            fix="Set it to otlp, or leave it out; --no-otel makes no traces.",
        )
    spoken = next((environ[name].strip() for name in _PROTOCOLS if environ.get(name)), _SPOKEN)
    if spoken != _SPOKEN:
        raise InputError(
            f"Traces cannot be sent by {spoken!r}",
            where=" or ".join(_PROTOCOLS),
            fix=f"Set it to {_SPOKEN}, which collectors listen for at port 4318.",
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError(
            "A trace", package="opentelemetry-exporter-otlp-proto-http", extra="otel"
        ) from error

    content = environ.get(_CONTENT, "").strip().lower() == "true"
    return Traces(provider(BatchSpanProcessor(OTLPSpanExporter())), queries=content)


_NANOSECONDS = 1_000_000_000
_UNNAMED = "unknown_service"
# An exception's message may quote what a client sent: its type has to do.
_NO_MESSAGES = {"record_exception": False, "set_status_on_exception": False}


class Traces:
    """Makes spans with the attributes of `conventions`; the query's text with `queries` only.

    Safe to use from several threads at once.
    """

    def __init__(self, provider: TracerProvider, *, queries: bool = False) -> None:
        self._provider, self._queries = provider, queries
        self._tracer = provider.get_tracer("secondpass", secondpass.__version__)

    @contextmanager
    def request(self, scope: Scope, seen: RequestRecord) -> Iterator[None]:
        """Surround a request; the trace is the client's where `traceparent` names one."""
        with self._tracer.start_as_current_span(
            "HTTP",
            context=extract(dict(Headers(scope=scope))),
            kind=SpanKind.SERVER,
            attributes=of_request(scope, seen),
            **_NO_MESSAGES,
        ) as span:
            context = span.get_span_context()
            seen.trace = f"{context.trace_id:032x}" if context.trace_flags.sampled else None
            try:
                yield
            except BaseException as error:
                _broken(span, error)
                raise
            finally:
                name, told = of_answer(scope, seen)
                span.update_name(name)
                span.set_attributes(told)
                if seen.status >= 500:
                    span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def stage(self, name: str, told: StageAttributes) -> Iterator[None]:
        """Surround a stage; what is told at its end is among its attributes."""
        with self._tracer.start_as_current_span(name, **_NO_MESSAGES) as span:
            try:
                yield
            except BaseException as error:
                _broken(span, error)
                raise
            finally:
                title, attributes = described(name, told, queries=self._queries)
                span.update_name(title)
                span.set_attributes(attributes)

    def past(self, name: str, began: float, ended: float) -> None:
        """Add a stage that is over; both ends are on the clock of `time.monotonic`."""
        if not get_current_span().is_recording():
            return
        later = time.time_ns() - int(time.monotonic() * _NANOSECONDS)
        span = self._tracer.start_span(name, start_time=later + int(began * _NANOSECONDS))
        span.end(later + int(ended * _NANOSECONDS))

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()


def _broken(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))


def provider(processor: SpanProcessor) -> TracerProvider:
    """Return where spans go; `OTEL_SERVICE_NAME` and the like are heeded."""
    resource = Resource.create({SERVICE_VERSION: secondpass.__version__})
    name: Any = resource.attributes.get(SERVICE_NAME, _UNNAMED)
    if str(name).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: "secondpass"}))
    found = TracerProvider(resource=resource)
    found.add_span_processor(processor)
    return found
