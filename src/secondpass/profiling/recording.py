"""Models that write down what each step took, from the moment that they are opened."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.native.onnx_file import Table
from secondpass.profiling.ort_events import Run
from secondpass.profiling.record import RecordedNative
from secondpass.profiling.sessions import RecordedSession

_loading = threading.Lock()


class Recorded(Protocol):
    """One opened graph: `file` is where from, `calls` the seconds of each run, in order."""

    file: Path
    calls: list[float]

    def finish(self) -> list[Run]:
        """Stop recording and return what each call consisted of, in order."""
        ...


@contextmanager
def recording() -> Iterator[list[Recorded]]:
    """Record every graph that is opened inside in ONNX Runtime or our own machine code.

    Gives their list. A session of ONNX Runtime can be told to keep times only when it is
    opened, so what opens graphs is exchanged for as long as a model is being loaded. Not for
    use beside other threads that load models.
    """
    import onnxruntime as ort

    from secondpass.inference.native import runtime as native

    found: list[Recorded] = []
    with tempfile.TemporaryDirectory() as folder, _loading:
        plain_session, plain_native = ort.InferenceSession, native.native_runtime

        def session(file: str, sess_options: Any = None, **others: Any) -> RecordedSession:
            options = ort.SessionOptions() if sess_options is None else sess_options
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / f"session{len(found)}")
            opened = plain_session(file, sess_options=options, **others)
            found.append(recorded := RecordedSession(opened, Path(file)))
            return recorded

        def encoder(
            of: ModelFolder, *, threads: int | None, tables: Mapping[str, Table]
        ) -> RecordedNative | None:
            opened = plain_native(of, threads=threads, tables=tables)
            if opened is None or of.onnx is None:
                return None
            found.append(recorded := RecordedNative(opened, of.onnx))
            return recorded

        ort.InferenceSession = session
        native.native_runtime = encoder  # type: ignore[assignment]
        try:
            yield found
        finally:
            ort.InferenceSession = plain_session
            native.native_runtime = plain_native
