"""Engines that run a model's graph, behind one small interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from secondpass.engine.folder import ModelFolder

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]


@runtime_checkable
class Runtime(Protocol):
    """Runs one model; safe to call from several threads at once."""

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the graph's inputs."""
        ...

    def run(self, feeds: Mapping[str, Int64]) -> Float32:
        """Return the graph's first output for int64 inputs of shape [batch, tokens]."""
        ...


def load_runtime(folder: ModelFolder, *, threads: int | None = None) -> Runtime:
    """Open the model with ONNX Runtime, or with PyTorch where there is no ONNX graph.

    `threads` is the number of threads for one call; None leaves it to the engine.
    Raises `MissingExtraError` if only safetensors are present and PyTorch is not
    installed, `ModelError` if the engine refuses the model.
    """
    if folder.onnx is not None:
        from secondpass.engine.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(folder.onnx, threads=threads)
    from secondpass.engine.runtimes.torch import TorchRuntime

    return TorchRuntime(folder.path)
