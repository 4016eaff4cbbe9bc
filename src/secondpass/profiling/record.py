"""Recording runtimes: ONNX Runtime sessions and native encoders that record step times."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.native.model import CompiledModel
from secondpass.inference.native.onnx_file import Table
from secondpass.inference.native.runtime import NativeRuntime
from secondpass.inference.types import Feeds, Float32
from secondpass.profiling.ort_events import Operator, Run, read_runs

EMBED, PROJECT, ATTEND = "EmbedLayerNormalization", "QueryKeyValue", "Attention"
FORWARD, HEAD = "FeedForwardLayerNormalization", "Head"
"""The steps of a native layer, named like ONNX Runtime's fused operators."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The duration of a call, its steps as in `NativeRuntime.seconds`, and tokens per row."""

    seconds: float
    steps: NDArray[np.float64]
    lengths: NDArray[np.int64]


class RecordedNative:
    """A native runtime that records step times; for one thread only.

    `calls` are the seconds of each run, in order.
    """

    def __init__(self, runtime: NativeRuntime, file: Path) -> None:
        self.file = file
        self.calls: list[float] = []
        self._recorded: list[_Call] = []
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def run(self, feeds: Feeds) -> Float32:
        """Run the runtime and record the times."""
        name = self._runtime.outputs[0]
        output: Float32 = self.run_named(feeds, [name])[name]
        return output

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the runtime and record the times."""
        steps = self._runtime.seconds = np.zeros(3 * self._runtime.model.layers + 2)
        started = time.perf_counter()
        outputs = self._runtime.run_named(feeds, names)
        seconds = time.perf_counter() - started
        lengths = feeds["attention_mask"].sum(axis=1, dtype=np.int64)
        self.calls.append(seconds)
        self._recorded.append(_Call(seconds, steps, lengths))
        return outputs

    def finish(self) -> list[Run]:
        """Stop recording and return the operators of each call, in order.

        A step's seconds are those of all threads divided by their number; the rest of the
        call is time in which threads waited. The head is the work in Python on the encoder's
        output.
        """
        self._runtime.seconds = None
        return [self._run(call) for call in self._recorded]

    def _run(self, call: _Call) -> Run:
        steps = call.steps[:-1] / self._runtime.threads
        operators = [Operator(EMBED, float(steps[0]))]
        for seconds, (kind, operations, integer) in zip(
            steps[1:], count_operations(self._runtime.model, call.lengths), strict=True
        ):
            operators.append(Operator(kind, float(seconds), operations, integer))
        operators.append(Operator(HEAD, call.seconds - float(call.steps[-1])))
        return Run(call.seconds, operators)


def count_operations(
    model: CompiledModel, lengths: NDArray[np.int64]
) -> Iterator[tuple[str, int, bool]]:
    """Yield (kind, operations of the matrix products, whether 8-bit) of each layer's steps.

    `lengths` are tokens per row. Attention multiplies in single precision.
    """
    hidden, inner, tokens = model.hidden, model.inner, int(lengths.sum())
    for layer in range(1, model.layers + 1):
        first_only = model.first_only and layer == model.layers
        rows = len(lengths) if first_only else tokens
        pairs = tokens if first_only else int((lengths**2).sum())
        yield PROJECT, 2 * hidden * hidden * (rows + 2 * tokens), True
        yield ATTEND, 2 * 2 * pairs * hidden, False
        yield FORWARD, 2 * rows * hidden * (hidden + 2 * inner), True


class RecordedSession:
    """A session with ONNX Runtime's profiler enabled; for one thread only.

    `calls` are the seconds of each `run`, in order.
    """

    def __init__(self, session: Any, file: Path) -> None:
        self.file = file
        self.calls: list[float] = []
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        """Run the session and record the time."""
        started = time.perf_counter()
        outputs = self._session.run(*arguments)
        self.calls.append(time.perf_counter() - started)
        return outputs

    def finish(self) -> list[Run]:
        """Stop recording and return the operators of each call, in order."""
        return read_runs(Path(self._session.end_profiling()))


_loading = threading.Lock()


class Recorded(Protocol):
    """A recording runtime of the graph in `file`; `calls` are the seconds of each run."""

    file: Path
    calls: list[float]

    def finish(self) -> list[Run]:
        """Stop recording and return the operators of each call, in order."""
        ...


@contextmanager
def recording() -> Iterator[list[Recorded]]:
    """Record every graph loaded in this block, in ONNX Runtime or the native engine.

    Yields their list. ONNX Runtime can only enable its profiler when a session is created, so
    the functions that load graphs are replaced in this block. Not safe if other threads load
    models.
    """
    import onnxruntime as ort

    from secondpass.inference.native import runtime as native

    recorded: list[Recorded] = []
    with tempfile.TemporaryDirectory() as profiles, _loading:
        plain_session, plain_native = ort.InferenceSession, native.native_runtime

        def load_session(file: str, sess_options: Any = None, **others: Any) -> RecordedSession:
            options = ort.SessionOptions() if sess_options is None else sess_options
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(profiles) / f"session{len(recorded)}")
            opened = plain_session(file, sess_options=options, **others)
            recorded.append(session := RecordedSession(opened, Path(file)))
            return session

        def load_native(
            folder: ModelFolder, *, threads: int | None, tables: Mapping[str, Table]
        ) -> RecordedNative | None:
            opened = plain_native(folder, threads=threads, tables=tables)
            if opened is None or folder.onnx is None:
                return None
            recorded.append(runtime := RecordedNative(opened, folder.onnx))
            return runtime

        ort.InferenceSession = load_session
        native.native_runtime = load_native  # type: ignore[assignment]
        try:
            yield recorded
        finally:
            ort.InferenceSession = plain_session
            native.native_runtime = plain_native
