"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from secondpass.engine.runtimes import Float32, Int64
from secondpass.errors import ModelDamagedError, ModelError


class OnnxRuntime:
    """One ONNX graph in one session; `run` may be called by several threads at once."""

    def __init__(self, file: Path, *, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
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
        self._output = self._session.get_outputs()[0].name

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the graph's inputs."""
        return self._inputs

    def run(self, feeds: Mapping[str, Int64]) -> Float32:
        """Return the first output for int64 inputs of shape [batch, tokens]."""
        try:
            (output,) = self._session.run([self._output], dict(feeds))
        except Exception as error:
            shape = next(iter(feeds.values())).shape
            raise ModelError(
                "ONNX Runtime failed on a batch", where=f"shape {shape}", why=str(error)
            ) from error
        return np.asarray(output, dtype=np.float32)
