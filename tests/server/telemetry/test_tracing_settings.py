"""Whether there are traces, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from secondpass import InputError, MissingExtraError
from secondpass.server.telemetry.tracing_settings import make_traces

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("asked", "variables", "wanted"),
    [
        (None, {}, False),
        (None, {OTLP: ""}, False),
        (None, {OTLP: "http://c:4318"}, True),
        (None, {"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (None, {OTLP: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        (None, {OTLP: "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        (False, {OTLP: "http://c:4318"}, False),
        (True, {}, True),
    ],
)
def test_who_says_whether_there_are_traces(
    asked: bool | None, variables: dict[str, str], wanted: bool
) -> None:
    found = make_traces(asked, variables)
    assert (found is not None) == wanted
    if found is not None:
        found.close()


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_TRACES_EXPORTER": "zipkin"}, {OTLP: "http://c", f"{OTLP[:-8]}PROTOCOL": "grpc"}],
)
def test_what_cannot_be_sent_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match="OTEL"):
        make_traces(None, variables)


@pytest.fixture
def without() -> Callable[[str], str]:
    """Return a program in which a package is not installed."""

    def program(code: str) -> str:
        hide = "import sys; sys.modules['opentelemetry.sdk.trace.export'] = None"
        command = [sys.executable, "-c", f"{hide}\n{code}"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return program


def test_a_missing_extra_is_a_clear_error_and_nothing_is_loaded_without_need(
    without: Callable[[str], str],
) -> None:
    told = without(
        "from secondpass.server.telemetry.tracing_settings import make_traces\n"
        "from secondpass import MissingExtraError\n"
        "assert make_traces(None, {}) is None\n"
        "assert not any(name == 'opentelemetry' for name in sys.modules)\n"
        "try: make_traces(True)\n"
        "except MissingExtraError as error: print(error)"
    )
    assert "otel" in told
    assert "pip install" in told
    assert issubclass(MissingExtraError, ImportError)
