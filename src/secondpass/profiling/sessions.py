"""ONNX Runtime sessions that write down what each operator took."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondpass.profiling.events import Run, read_runs

_loading = threading.Lock()


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


@contextmanager
def recorded_sessions() -> Iterator[list[RecordedSession]]:
    """Record every ONNX Runtime session that is opened inside; gives their list.

    A session can be told to keep times only when it is opened, so the constructor is
    exchanged for as long as a model is being loaded. Not for use beside other threads
    that load models.
    """
    import onnxruntime as ort

    found: list[RecordedSession] = []
    with tempfile.TemporaryDirectory() as folder, _loading:
        plain = ort.InferenceSession

        def recorded(file: str, sess_options: Any = None, **others: Any) -> RecordedSession:
            options = ort.SessionOptions() if sess_options is None else sess_options
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / f"session{len(found)}")
            session = RecordedSession(plain(file, sess_options=options, **others), Path(file))
            found.append(session)
            return session

        ort.InferenceSession = recorded
        try:
            yield found
        finally:
            ort.InferenceSession = plain
