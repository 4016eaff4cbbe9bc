"""OpenTelemetry traces: a span for each request, with child spans for the stages of a search.

Attributes are named by semantic conventions. Requests: OpenTelemetry's for HTTP servers, which
are stable. Stages: OpenInference's span kinds and `reranker.*`, and OpenTelemetry's `gen_ai.*`,
whose operation `retrieval` is in development and whose `rerank` is proposed. Attributes that
neither defines are `secondpass.*`.
"""

from __future__ import annotations

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
from secondpass.observe import StageAttributes
from secondpass.server.request_context import RequestRecord

SpanAttributes = dict[str, str | bool | int | float]
_NANOSECONDS = 1_000_000_000
_UNNAMED = "unknown_service"
# The message of an exception may quote what a client sent, so only its type is recorded.
_NO_MESSAGES = {"record_exception": False, "set_status_on_exception": False}
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
_STAGE_ATTRIBUTES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
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
_QUERY_ATTRIBUTES = {
    "first_pass": ("input.value", "gen_ai.retrieval.query.text"),
    "rerank": ("input.value", "reranker.query"),
}
_CONSTANT_ATTRIBUTES: Mapping[str, SpanAttributes] = {
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


class Traces:
    """Makes spans; they have the text of queries with `queries` only.

    Safe to use from several threads at once.
    """

    def __init__(self, provider: TracerProvider, *, queries: bool = False) -> None:
        self._provider, self._queries = provider, queries
        self._tracer = provider.get_tracer("secondpass", secondpass.__version__)

    @contextmanager
    def request(self, scope: Scope, record: RequestRecord) -> Iterator[None]:
        """Trace a request, in the client's trace where the header `traceparent` names one."""
        with self._tracer.start_as_current_span(
            "HTTP",
            context=extract(dict(Headers(scope=scope))),
            kind=SpanKind.SERVER,
            attributes=request_attributes(scope, record),
            **_NO_MESSAGES,
        ) as span:
            context = span.get_span_context()
            record.trace = f"{context.trace_id:032x}" if context.trace_flags.sampled else None
            try:
                yield
            except BaseException as error:
                _set_error(span, error)
                raise
            finally:
                name, attributes = response_attributes(scope, record)
                span.update_name(name)
                span.set_attributes(attributes)
                if record.status >= 500:
                    span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def stage(self, name: str, values: StageAttributes) -> Iterator[None]:
        """Trace a stage; `values` are read at its end, as the stage may add to them."""
        with self._tracer.start_as_current_span(name, **_NO_MESSAGES) as span:
            try:
                yield
            except BaseException as error:
                _set_error(span, error)
                raise
            finally:
                title, attributes = stage_attributes(name, values, queries=self._queries)
                span.update_name(title)
                span.set_attributes(attributes)

    def past(self, name: str, began: float, ended: float) -> None:
        """Add a stage that is over; both ends are on the clock of `time.monotonic`."""
        if not get_current_span().is_recording():
            return
        offset = time.time_ns() - int(time.monotonic() * _NANOSECONDS)
        span = self._tracer.start_span(name, start_time=offset + int(began * _NANOSECONDS))
        span.end(offset + int(ended * _NANOSECONDS))

    def close(self) -> None:
        """Send the remaining spans, and stop."""
        self._provider.shutdown()


def _set_error(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))


def make_provider(processor: SpanProcessor) -> TracerProvider:
    """Return a provider of spans; `OTEL_SERVICE_NAME` and the like are respected."""
    resource = Resource.create({SERVICE_VERSION: secondpass.__version__})
    name: Any = resource.attributes.get(SERVICE_NAME, _UNNAMED)
    if str(name).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: "secondpass"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor)
    return provider


def stage_attributes(
    name: str, values: StageAttributes, *, queries: bool
) -> tuple[str, SpanAttributes]:
    """Return the title and the attributes of a stage; values that are None are left out."""
    attributes: SpanAttributes = dict(_CONSTANT_ATTRIBUTES.get(name, {}))
    names = dict(_STAGE_ATTRIBUTES.get(name, {}))
    if queries:
        names["query"] = _QUERY_ATTRIBUTES.get(name, ())
    for key, value in values.items():
        if value is not None:
            attributes |= dict.fromkeys(names.get(key, ()), value)
    model = values.get("model")
    title = str(_CONSTANT_ATTRIBUTES.get(name, {}).get("gen_ai.operation.name", name))
    return (title if model is None else f"{title} {model}"), attributes


def request_attributes(scope: Scope, record: RequestRecord) -> SpanAttributes:
    """Return what is known before the response; no query string, no client address."""
    return {
        "http.request.method": _method(record),
        "url.path": record.path,
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
        "secondpass.request_id": record.id,
    }


def response_attributes(scope: Scope, record: RequestRecord) -> tuple[str, SpanAttributes]:
    """Return the name of a request's span, and what is known after the response."""
    attributes: SpanAttributes = {"http.response.status_code": record.status}
    if record.status >= 500:
        problem = record.problem
        attributes["error.type"] = str(record.status) if problem is None else problem
    route = _route(scope)
    if route is not None:
        attributes["http.route"] = route
    context, caller = record.context, record.caller
    if context is not None:
        attributes |= {
            "openinference.span.kind": "CHAIN",
            "secondpass.dialect": context.dialect,
            "secondpass.documents": context.documents,
        }
    if caller is not None:
        attributes["secondpass.tenant"] = caller.tenant
        if caller.id:
            attributes["secondpass.key_id"] = caller.id
    method = _method(record).replace("_OTHER", "HTTP")
    return (method if route is None else f"{method} {route}"), attributes


def _method(record: RequestRecord) -> str:
    # Clients may send any word: the convention bounds the set of names.
    return record.method if record.method in _METHODS else "_OTHER"


def _route(scope: Scope) -> str | None:
    """Return the path template of the route, with the names of its parameters."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str) or "app" not in scope:
        return path
    # FastAPI sets this for its own routes only.
    routes = (route for route in scope["app"].routes if isinstance(route, Route))
    return next((r.path for r in routes if r.matches(scope)[0] is Match.FULL), None)
