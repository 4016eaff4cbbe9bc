"""Whether to make traces, by the standard environment variables, and where they go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from secondpass.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from secondpass.server.telemetry.tracing import Traces

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
    from secondpass.server.telemetry.tracing import Traces, provider

    content = environ.get(_CONTENT, "").strip().lower() == "true"
    return Traces(provider(BatchSpanProcessor(OTLPSpanExporter())), queries=content)
