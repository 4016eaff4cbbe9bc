"""Engines that run a model's graph, behind one small interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.folder import ModelFolder

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Feeds = Mapping[str, NDArray[Any]]
"""The arrays of a batch, by the names of the graph's inputs."""


@runtime_checkable
class Runtime(Protocol):
    """Runs one model; safe to call from several threads at once."""

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the graph's inputs."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in order."""
        ...

    def run(self, feeds: Feeds) -> Float32:
        """Return the graph's first output."""
        ...

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the outputs of these names, each of its own type."""
        ...


def load_runtime(folder: ModelFolder, *, threads: int | None = None) -> Runtime:
    """Open the model with ONNX Runtime, or with PyTorch where there is no ONNX graph.

    `threads` is the number of threads for one call; None leaves it to the engine.
    Raises `MissingExtraError` if only safetensors are present and PyTorch is not
    installed, `ModelError` if the engine refuses the model.
    """
    if folder.onnx is not None:
        from secondpass.engine.borrowed import borrowed_tables
        from secondpass.engine.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(folder.onnx, threads=threads, tables=borrowed_tables(folder))
    from secondpass.engine.runtimes.torch import TorchRuntime

    return TorchRuntime(folder.path)
