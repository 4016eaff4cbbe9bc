"""Whether to send traces, by the standard environment variables of OpenTelemetry.

Imports nothing of OpenTelemetry until traces are enabled: it is an optional extra.
"""

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
_CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_SUPPORTED_PROTOCOL = "http/protobuf"


def make_traces(enabled: bool | None, environ: Mapping[str, str] = os.environ) -> Traces | None:
    """Return where traces are sent, or None where there are to be none.

    `enabled` None leaves it to the environment: with an endpoint or an exporter there are
    traces, with `OTEL_SDK_DISABLED` or the exporter "none" there are none. Raises
    MissingExtraError without the extra `otel`, and InputError for an exporter or a protocol
    other than OTLP over HTTP.
    """
    exporter = environ.get(_EXPORTER, "").strip().lower()
    if enabled is None:
        enabled = bool(exporter) or any(environ.get(name, "").strip() for name in _ENDPOINTS)
        disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        enabled = enabled and not disabled and exporter != "none"
    if not enabled:
        return None
    if exporter not in ("", "none", "otlp"):
        raise InputError(
            f"The trace exporter {exporter!r} is not supported",
            where=_EXPORTER,
            fix="Set it to otlp, or leave it out; --no-otel sends no traces.",
        )
    protocols = (environ[name].strip() for name in _PROTOCOLS if environ.get(name))
    protocol = next(protocols, _SUPPORTED_PROTOCOL)
    if protocol != _SUPPORTED_PROTOCOL:
        raise InputError(
            f"The trace protocol {protocol!r} is not supported",
            where=" or ".join(_PROTOCOLS),
            fix=f"Set it to {_SUPPORTED_PROTOCOL}, which collectors listen for at port 4318.",
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError(
            "A trace", package="opentelemetry-exporter-otlp-proto-http", extra="otel"
        ) from error
    from secondpass.server.telemetry.tracing import Traces, make_provider

    queries = environ.get(_CAPTURE_CONTENT, "").strip().lower() == "true"
    return Traces(make_provider(BatchSpanProcessor(OTLPSpanExporter())), queries=queries)
