from __future__ import annotations

import numpy as np
import pytest


def _graph(weight: np.ndarray) -> object:
    import onnx_ir as ir

    rows, columns = weight.shape
    number = ir.TensorType(ir.DataType.FLOAT)
    x = ir.val("x", shape=["rows", rows], type=number)
    w = ir.val("w", shape=[rows, columns], type=number, const_value=ir.tensor(weight, name="w"))
    once = ir.node("MatMul", [x, w])
    twice = ir.node("MatMul", [once.outputs[0], w])
    twice.outputs[0].name = "y"
    twice.outputs[0].type, twice.outputs[0].shape = number, ir.Shape(["rows", columns])
    graph = ir.Graph(
        [x], [twice.outputs[0]], nodes=[once, twice], initializers=[w], opset_imports={"": 20}
    )
    return ir.Model(graph, ir_version=9)


def _run(model: object, rows: np.ndarray) -> np.ndarray:
    import onnx_ir as ir
    import onnxruntime as ort

    session = ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": rows})[0])


def test_large_arrays_are_halved_and_give_nearly_the_same() -> None:
    from secondpass.train.export.onnx_graph import store_constants_as_float16

    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((128, 128)) / 11).astype(np.float32)
    rows = rng.standard_normal((3, 128)).astype(np.float32)
    model = _graph(weight)
    before = _run(model, rows)
    assert store_constants_as_float16(model) == 128 * 128 * 2
    assert np.abs(_run(model, rows) - before).max() < 5e-3
    assert store_constants_as_float16(model) == 0


@pytest.mark.parametrize("change", [lambda w: w[:64, :64], lambda w: w * 1e6])
def test_small_arrays_and_large_numbers_stay(change: object) -> None:
    from secondpass.train.export.onnx_graph import store_constants_as_float16

    weight = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    assert store_constants_as_float16(_graph(change(weight))) == 0
