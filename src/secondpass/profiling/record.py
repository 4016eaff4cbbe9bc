"""Encoders in machine code of our own that write down what each step of a layer took.

ONNX Runtime sessions that write down what each operator took.

Models that write down what each step took, from the moment that they are opened.
"""

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
"""Steps, named as fused operators are in ONNX Runtime."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call's seconds, those of its steps as `NativeRuntime.seconds`, and its tokens a row."""

    seconds: float
    steps: NDArray[np.float64]
    lengths: NDArray[np.int64]


class RecordedNative:
    """A runtime of our own machine code with its clock switched on; for one thread only.

    `calls` holds the seconds of each run, in order.
    """

    def __init__(self, runtime: NativeRuntime, file: Path) -> None:
        self.file = file
        self.calls: list[float] = []
        self._recorded: list[_Call] = []
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def run(self, feeds: Feeds) -> Float32:
        """Do as the runtime does, and keep the times."""
        name = self._runtime.outputs[0]
        found: Float32 = self.run_named(feeds, [name])[name]
        return found

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Do as the runtime does, and keep the times."""
        steps = self._runtime.seconds = np.zeros(3 * self._runtime.model.layers + 2)
        started = time.perf_counter()
        found = self._runtime.run_named(feeds, names)
        seconds = time.perf_counter() - started
        lengths = feeds["attention_mask"].sum(axis=1, dtype=np.int64)
        self.calls.append(seconds)
        self._recorded.append(_Call(seconds, steps, lengths))
        return found

    def finish(self) -> list[Run]:
        """Stop recording and return what each call of `run` consisted of, in order.

        A step's seconds are those of all threads divided by their number: what is left of
        the call is time in which threads waited for others. The head is what Python does
        with the encoder's output.
        """
        self._runtime.seconds = None
        return [self._run(call) for call in self._recorded]

    def _run(self, call: _Call) -> Run:
        steps = call.steps[:-1] / self._runtime.threads
        found = [Operator(EMBED, float(steps[0]))]
        for seconds, (kind, operations, integer) in zip(
            steps[1:], products(self._runtime.model, call.lengths), strict=True
        ):
            found.append(Operator(kind, float(seconds), operations, integer))
        found.append(Operator(HEAD, call.seconds - float(call.steps[-1])))
        return Run(call.seconds, found)


def products(
    model: CompiledModel, lengths: NDArray[np.int64]
) -> Iterator[tuple[str, int, bool]]:
    """Yield kind, operations of the products and whether in integers, of each layer's steps.

    `lengths` are tokens a row. Attention multiplies in single precision.
    """
    hidden, inner, tokens = model.hidden, model.inner, int(lengths.sum())
    for layer in range(1, model.layers + 1):
        few = model.first_only and layer == model.layers
        rows = len(lengths) if few else tokens
        pairs = tokens if few else int((lengths**2).sum())
        yield PROJECT, 2 * hidden * hidden * (rows + 2 * tokens), True
        yield ATTEND, 2 * 2 * pairs * hidden, False
        yield FORWARD, 2 * rows * hidden * (hidden + 2 * inner), True


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
