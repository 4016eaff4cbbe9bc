from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.train.export.calibrate import Activations
from secondpass.train.export.quantize import (
    WEIGHT_LEVEL,
    activation_scale,
    column_scales,
    round_to_nearest,
    round_with_compensation,
)
from secondpass.train.export.smoothquant import channel_scales

# ONNX Runtime may leave the thread flushing subnormal numbers to zero.
finite = st.floats(-1e4, 1e4, allow_subnormal=False, width=32)


@given(finite, finite)
def test_the_integer_range_holds_zero_and_both_ends(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    scale, zero = activation_scale(low, high)
    assert 0 <= int(zero) <= 255
    assert scale > 0
    for value in (0.0, low, high):
        level = round(value / float(scale)) + int(zero)
        assert -1 <= level <= 256


def test_two_products_fit_into_sixteen_bits() -> None:
    assert 2 * 255 * WEIGHT_LEVEL < 2**15


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_compensated_rounding_is_nearer_on_the_inputs_it_was_made_for(seed: int) -> None:
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(80, 80))
    inputs = (random.normal(size=(400, 80)) @ mixing).astype(np.float32)
    weight = random.normal(size=(80, 24)).astype(np.float32)
    scale = column_scales(weight)
    products = (inputs.T @ inputs).astype(np.float64)
    exact = inputs @ weight
    errors = [
        float(((inputs @ (found * scale).astype(np.float32) - exact) ** 2).sum())
        for found in (
            round_with_compensation(weight, scale, products),
            round_to_nearest(weight, scale),
        )
    ]
    assert errors[0] < errors[1]


def test_a_silent_column_and_a_silent_input_do_no_harm() -> None:
    weight = np.ones((4, 3), dtype=np.float32)
    weight[:, 1] = 0
    products = np.diag([1.0, 0.0, 2.0, 3.0])
    scale = column_scales(weight)
    found = round_with_compensation(weight, scale, products)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, 0] * scale[0], 1.0, rtol=0.02)


def test_channel_scales_even_out_and_keep_silent_channels_in_range() -> None:
    peak = np.array([40.0, 1.0, 2.0, 0.0], dtype=np.float32)
    activations = Activations(-peak, peak, np.diag(peak.astype(np.float64) ** 2))
    weight = np.ones((4, 5), dtype=np.float32)
    scales = channel_scales(activations, [weight], strength=1.0)
    assert np.prod(scales) == pytest.approx(1.0, rel=1e-4)
    # The largest channel is at most ten times what is left of the others.
    assert scales[0] / scales[3] == pytest.approx(10.0, rel=1e-4)
    assert (peak / scales).max() < peak.max()


def test_this_processor_multiplies_the_largest_integers_exactly() -> None:
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    weight = np.full((384, 16), WEIGHT_LEVEL, dtype=np.int8)
    weight[:, ::2] = -WEIGHT_LEVEL
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "largest",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 384])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = ort.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.full((1, 384), 255, dtype=np.uint8)
    (found,) = session.run(None, {"x": x})
    np.testing.assert_array_equal(found, x.astype(np.int32) @ weight.astype(np.int32))
