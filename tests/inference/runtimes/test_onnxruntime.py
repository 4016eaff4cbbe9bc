from __future__ import annotations

import numpy as np
import pytest

from secondpass.inference.runtimes.onnxruntime import WAITING, OnnxRuntime
from secondpass.models import bundled_path


def test_idle_threads_stop_spinning_soon() -> None:
    runtime = OnnxRuntime(bundled_path("bundled") / "compress.onnx", threads=2)
    options = runtime._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    for name, value in WAITING.items():
        assert options.get_session_config_entry(name) == value


def test_outputs_do_not_depend_on_how_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((4, 150, 768), dtype=np.float32)
    outputs = []
    for settings in (WAITING, {}, {"session.intra_op.allow_spinning": "0"}):
        monkeypatch.setattr("secondpass.inference.runtimes.onnxruntime.WAITING", settings)
        runtime = OnnxRuntime(bundled_path("bundled") / "compress.onnx", threads=2)
        outputs.append(runtime.run_named({"states": states}, ["codes", "scales"]))
    for other in outputs[1:]:
        assert all(np.array_equal(other[name], array) for name, array in outputs[0].items())
