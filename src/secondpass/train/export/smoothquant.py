"""SmoothQuant: smoothing of channels before quantization.

A few channels of a transformer are many times larger than the rest, and one range for all
leaves the rest few levels. Dividing channel k by s and multiplying row k of the weights by
s changes nothing in exact arithmetic (SmoothQuant, Xiao et al., 2022,
https://arxiv.org/abs/2211.10438). After a LayerNormalization the division costs one more
normalization, as the residual path needs the original; elsewhere it costs one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.train.export.calibrate import Activations
from secondpass.train.export.onnx_graph import add_constant, as_float32, constant

if TYPE_CHECKING:
    import onnx_ir as ir

# The share of the spread of channels that moves from activations to weights.
STRENGTH = 0.85
# A product per token is worthwhile only if the largest channel exceeds the median one by this
# factor.
OUTLIER = 4.0


def channel_scales(
    activations: Activations, weights: Sequence[NDArray[np.float32]], strength: float
) -> NDArray[np.float32]:
    """Return s for each channel, with a geometric mean of 1.

    `weights` are [channels, outputs], those of the layers that consume the channels.
    """
    peaks = activations.peak
    weight_peaks = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    # A channel near 0 in calibration may be larger in use: it keeps a tenth of the range.
    peaks = np.maximum(peaks, 0.1 * peaks.max() + 1e-6)
    weight_peaks = np.maximum(weight_peaks, 0.05 * weight_peaks.max() + 1e-9)
    logs = strength * np.log(peaks) - (1 - strength) * np.log(weight_peaks)
    return as_float32(np.exp(logs - logs.mean()))


def divide_channels(
    graph: ir.Graph, value: ir.Value, scales: NDArray[np.float32], before: ir.Node
) -> ir.Value:
    """Return a value that is `value` / `scales`, computed right before `before`."""
    import onnx_ir as ir

    name = str(value.name)
    producer = value.producer()
    if producer is not None and _is_scalable_normalization(producer):
        parameters = [constant(value) for value in producer.inputs[1:]]
        affine = [
            add_constant(graph, f"{name}_even_{i}", as_float32(array / scales))
            for i, array in enumerate(parameters)
            if array is not None
        ]
        epsilon = producer.attributes.get_float("epsilon", 1e-5)
        node = ir.node(
            "LayerNormalization",
            [producer.inputs[0], *affine],
            attributes={"axis": -1, "epsilon": epsilon},
        )
    else:
        inverse = add_constant(graph, f"{name}_even", as_float32(1 / scales))
        node = ir.node("Mul", [value, inverse])
    node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    graph.insert_before(before, node)
    return node.outputs[0]


def is_worthwhile(value: ir.Value, activations: Activations) -> bool:
    """Return whether smoothing costs nothing, or the channels differ enough to pay for it."""
    producer = value.producer()
    if producer is not None and _is_scalable_normalization(producer):
        return True
    return float(activations.peak.max()) > OUTLIER * float(np.median(activations.peak))


def _is_scalable_normalization(node: ir.Node) -> bool:
    if node.op_type != "LayerNormalization" or node.attributes.get_int("axis", -1) != -1:
        return False
    return len(node.outputs) == 1 and all(
        value is None or constant(value) is not None for value in node.inputs[1:]
    )
