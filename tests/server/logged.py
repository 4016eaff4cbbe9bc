"""Reading what a server logs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from secondpass.server.telemetry.logs import configure_logging


class Logged:
    """What was logged up to now."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == "request"]


@contextmanager
def logged(form: str = "json", level: str = "info") -> Iterator[Logged]:
    stream = io.StringIO()
    with configure_logging(form, level, stream):
        yield Logged(stream)
