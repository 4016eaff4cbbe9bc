"""Traces: a span a request, and below it one for each stage of the search."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from starlette.datastructures import Headers
from starlette.types import Scope

import secondpass
from secondpass.observe import Told
from secondpass.server.request_context import Seen
from secondpass.server.telemetry.conventions import described, of_answer, of_request

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
    def request(self, scope: Scope, seen: Seen) -> Iterator[None]:
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
    def stage(self, name: str, told: Told) -> Iterator[None]:
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
