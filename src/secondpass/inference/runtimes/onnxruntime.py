"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelDamagedError, ModelError
from secondpass.inference.runtimes import Feeds, Float32


class OnnxRuntime:
    """One ONNX graph in one session; `run` may be called by several threads at once.

    `tables` are arrays that the graph names and does not hold.
    """

    def __init__(
        self,
        file: Path,
        *,
        threads: int | None = None,
        tables: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        # A process holds several sessions (encoder, reader), each with threads of its own.
        # Left alone, those of one go on spinning after a run, in the way of the next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        # The session reads them where they are, so they must live as long as it does.
        self._tables = {
            name: ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in ({} if tables is None else tables).items()
        }
        if self._tables:
            options.add_external_initializers(list(self._tables), list(self._tables.values()))
        try:
            self._session = ort.InferenceSession(
                str(file), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelDamagedError(
                "ONNX Runtime cannot open the model",
                where=str(file),
                why=str(error),
                fix="Export it again with: secondpass export SOURCE --out FOLDER",
            ) from error
        self._inputs = frozenset(i.name for i in self._session.get_inputs())
        self._outputs = tuple(o.name for o in self._session.get_outputs())

    @property
    def engine(self) -> str:
        """The name of this engine."""
        return "onnxruntime"

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
        """Return the outputs of these names; only those are copied out of the engine."""
        try:
            outputs = self._session.run(list(names), dict(feeds))
        except Exception as error:
            shape = next(iter(feeds.values())).shape
            raise ModelError(
                "ONNX Runtime failed on a batch", where=f"shape {shape}", why=str(error)
            ) from error
        return dict(zip(names, outputs, strict=True))
