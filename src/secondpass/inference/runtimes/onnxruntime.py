"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from secondpass.errors import ModelDamagedError, ModelError
from secondpass.inference.types import BaseRuntime, Feeds

# How idle threads of a session wait for work. A process has several sessions (encoder,
# reranker), each with its own threads; by default they spin for long, which takes the processor
# from whoever has work: other sessions, requests and processes. So they spin for about as long
# as another thread works on one operator, then sleep, and stop with the run. Versions before
# 1.26 do not know the limits, and ignore them.
WAITING = {
    "session.force_spinning_stop": "1",
    "session.intra_op.spin_duration_us": "50",
    "session.intra_op.spin_backoff_max": "8",
}


class OnnxRuntime(BaseRuntime):
    """One ONNX graph in one session; `run` may be called by several threads at once.

    `tables` are initializers that the graph names but does not contain.
    """

    engine = "onnxruntime"

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
        for name, value in WAITING.items():
            options.add_session_config_entry(name, value)
        if threads is not None:
            options.intra_op_num_threads = threads
        # The session does not copy them, so they must live as long as it does.
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
        super().__init__(
            frozenset(i.name for i in self._session.get_inputs()),
            tuple(o.name for o in self._session.get_outputs()),
        )

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the outputs of these names; only those are copied from the engine."""
        try:
            outputs = self._session.run(list(names), dict(feeds))
        except Exception as error:
            shape = next(iter(feeds.values())).shape
            raise ModelError(
                "ONNX Runtime failed on a batch", where=f"shape {shape}", why=str(error)
            ) from error
        return dict(zip(names, outputs, strict=True))
