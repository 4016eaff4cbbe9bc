"""ONNX Runtime sessions that write down what each operator took."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from secondpass.profiling.ort_events import Run, read_runs


class RecordedSession:
    """A session with ONNX Runtime's own profiler switched on; for one thread only.

    `calls` holds the seconds of each `run`, in order.
    """

    def __init__(self, session: Any, file: Path) -> None:
        self.file = file
        self.calls: list[float] = []
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        """Do as the session does, and keep the time."""
        started = time.perf_counter()
        found = self._session.run(*arguments)
        self.calls.append(time.perf_counter() - started)
        return found

    def finish(self) -> list[Run]:
        """Stop recording and return what each call of `run` consisted of, in order."""
        return read_runs(Path(self._session.end_profiling()))
