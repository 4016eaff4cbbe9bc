"""Types that all runtimes share: arrays and the `Runtime` protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Feeds = Mapping[str, NDArray[Any]]
"""The input arrays of a batch, by the names of the graph's inputs."""


@runtime_checkable
class Runtime(Protocol):
    """Runs one model; safe to call from several threads at once."""

    @property
    def engine(self) -> str:
        """The engine that runs it: one of `ENGINES`, or "torch"."""
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


class BaseRuntime:
    """The common part of the runtimes: a subclass sets `engine` and runs the graph."""

    engine: str

    def __init__(self, inputs: frozenset[str], outputs: tuple[str, ...]) -> None:
        self._inputs = inputs
        self._outputs = outputs

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the graph's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in order."""
        return self._outputs

    def run(self, feeds: Feeds) -> Float32:
        """Return the first output as float32."""
        name = self._outputs[0]
        return np.asarray(self.run_named(feeds, [name])[name], dtype=np.float32)

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the outputs of these names."""
        raise NotImplementedError
