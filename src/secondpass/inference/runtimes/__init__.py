"""Engines that run a model's graph, behind one small interface."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.inference.model_folder import ModelFolder

ENGINES = ("native", "onnxruntime", "openvino")
"""The first runs the models that it can, and leaves the others to ONNX Runtime."""

ENVIRONMENT = "SECONDPASS_RUNTIME"
"""Names the engine for models that may run in any; the first of `ENGINES` where not set."""

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Feeds = Mapping[str, NDArray[Any]]
"""The arrays of a batch, by the names of the graph's inputs."""


@runtime_checkable
class Runtime(Protocol):
    """Runs one model; safe to call from several threads at once."""

    @property
    def engine(self) -> str:
        """What runs it: one of `ENGINES`, or "torch"."""
        ...

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


def wanted_engine() -> str:
    """Return the engine that the environment names; raises `InputError` for an unknown one."""
    name = os.environ.get(ENVIRONMENT, ENGINES[0])
    if name not in ENGINES:
        raise InputError(
            f"There is no runtime {name!r}", where=ENVIRONMENT, fix=nearest(name, ENGINES)
        )
    return name


def load_runtime(
    folder: ModelFolder, *, threads: int | None = None, engine: str | None = None
) -> Runtime:
    """Open the model with an engine, or with PyTorch where there is no ONNX graph.

    `threads` is the number of threads for one call; None leaves it to the engine. Without
    an `engine`, it is one whose results may be kept: machine code of our own for the models
    that it can run, unless the environment names another, or ONNX Runtime. A graph that
    borrows tables never runs in OpenVINO. Raises `MissingExtraError` if what the model needs
    is not installed, `ModelError` if the engine refuses the model.
    """
    if folder.onnx is None:
        from secondpass.inference.runtimes.torch import TorchRuntime

        return TorchRuntime(folder.path)
    from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
    from secondpass.inference.shared_tables import borrowed_tables

    tables = borrowed_tables(folder)
    chosen = wanted_engine() if engine is None else engine
    if engine == "openvino" and not tables:
        from secondpass.inference.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(folder.onnx, threads=threads)
    if chosen == "native":
        from secondpass.inference.native.runtime import native_runtime

        native = native_runtime(folder, threads=threads, tables=tables)
        if native is not None:
            return native
    return OnnxRuntime(folder.onnx, threads=threads, tables=tables)
