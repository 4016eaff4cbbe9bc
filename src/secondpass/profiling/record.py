"""Encoders in machine code of our own that write down what each step of a layer took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.native.model import CompiledModel
from secondpass.inference.native.runtime import NativeRuntime
from secondpass.inference.runtimes import Feeds, Float32
from secondpass.profiling.ort_events import Operator, Run

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
