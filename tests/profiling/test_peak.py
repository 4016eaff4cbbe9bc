from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from secondpass.inference.native.library import load_library
from secondpass.profiling import peak
from secondpass.profiling.peak import (
    ROUNDS,
    SIZE,
    SPINS,
    matmul_graph,
    measure_instructions,
    measure_peak,
)


@pytest.mark.parametrize("integer", [True, False])
def test_the_graph_is_valid_and_multiplies(integer: bool) -> None:
    data = matmul_graph(200, integer=integer)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    a = np.arange(200 * 200, dtype=np.uint8 if integer else np.float32).reshape(200, 200)
    (found,) = session.run(None, {"a": a})
    expected = a.astype(np.float64).sum(axis=1)
    assert np.allclose(found, np.repeat(expected[:, None], 200, axis=1))


@pytest.mark.parametrize("integer", [True, False])
def test_the_fixed_matrix_is_known_to_the_engine_beforehand(
    integer: bool, tmp_path: Path
) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(matmul_graph(64, integer=integer), options)
    kinds = {n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node}
    assert "ConstantOfShape" not in kinds


def test_the_peak_is_that_of_the_fastest_round() -> None:
    times = iter([0.0, 9.0, *(t for n in range(ROUNDS - 1) for t in (10.0 * n, 10.0 * n + 2))])
    found = measure_peak(integer=False, threads=1, clock=lambda: next(times))
    assert found == 2 * SIZE**3 / 2


@pytest.mark.parametrize("integer", [True, False])
def test_the_limit_of_the_instructions_counts_all_threads(
    integer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = load_library()
    if library is None:
        pytest.skip("the machine code does not run here")
    monkeypatch.setattr(peak, "SPIN_ROUNDS", 10)
    # Twelve sums in each of a panel's vectors; an 8-bit product adds up four.
    once = 2 * 12 * library.panel // 2 * (4 if integer else 1) * 10
    ticks = (tick for n in range(SPINS) for tick in (10.0 * n, 10.0 * n + 2))
    found = measure_instructions(integer=integer, threads=3, clock=lambda: next(ticks))
    assert found == pytest.approx(3 * once / 2)


def test_without_the_native_library_the_limit_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peak, "load_library", lambda: None)
    assert measure_instructions(integer=True) is None
