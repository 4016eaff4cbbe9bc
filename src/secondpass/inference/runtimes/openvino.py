"""OpenVINO on the CPU (extra `openvino`)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import MissingExtraError, ModelDamagedError, ModelError
from secondpass.inference.types import BaseRuntime, Feeds


class OpenVinoRuntime(BaseRuntime):
    """One ONNX graph, compiled once for all lengths; `run` may be called by several threads.

    Computes in single precision even where the processor has faster types, so that scores
    differ less between machines.
    """

    engine = "openvino"

    def __init__(self, file: Path, *, threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                "Running a model with OpenVINO", package="openvino", extra="openvino"
            ) from error
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._compiled = openvino.Core().compile_model(str(file), "CPU", settings)
        except RuntimeError as error:
            raise ModelDamagedError(
                "OpenVINO cannot open the model",
                where=str(file),
                why=str(error).strip().splitlines()[-1],
                fix="Leave SECONDPASS_RUNTIME unset to run it with ONNX Runtime.",
            ) from error
        super().__init__(
            frozenset(i.get_any_name() for i in self._compiled.inputs),
            tuple(o.get_any_name() for o in self._compiled.outputs),
        )
        # An infer request holds the arrays of one run: each thread has its own.
        self._local = threading.local()

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the outputs of these names."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        try:
            request.infer(dict(feeds))
        except RuntimeError as error:
            shape = next(iter(feeds.values())).shape
            raise ModelError(
                "OpenVINO failed on a batch",
                where=f"shape {shape}",
                why=str(error).strip().splitlines()[-1],
            ) from error
        # Copies: the next run overwrites the tensors of the request.
        return {name: np.array(request.get_tensor(name).data) for name in names}
