"""Evening out channels before they are rounded to integers.

A few channels of a transformer are many times larger than the rest, and one range for all
leaves the rest few levels. Dividing channel k by s and multiplying row k of the weights by
s changes nothing in exact arithmetic (SmoothQuant, Xiao et al., 2022,
https://arxiv.org/abs/2211.10438). Behind a LayerNormalization the division costs one more
normalisation, as the residual path needs the original; elsewhere it costs one product.
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

# Share of the unevenness that moves from activations to weights.
STRENGTH = 0.85
# A product per token is worth its time only if the largest channel exceeds the median one
# by this factor.
OUTLIER = 4.0


def channel_scales(
    seen: Activations, weights: Sequence[NDArray[np.float32]], strength: float
) -> NDArray[np.float32]:
    """Return s for each channel, with a geometric mean of 1.

    `weights` are [channels, outputs], those of the layers that read the channels.
    """
    x = seen.peak
    w = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    # A channel that was silent in calibration may speak later: it keeps a tenth of the range.
    x = np.maximum(x, 0.1 * x.max() + 1e-6)
    w = np.maximum(w, 0.05 * w.max() + 1e-9)
    logs = strength * np.log(x) - (1 - strength) * np.log(w)
    return as_float32(np.exp(logs - logs.mean()))


def divide_channels(
    graph: ir.Graph, value: ir.Value, scales: NDArray[np.float32], before: ir.Node
) -> ir.Value:
    """Return a value that is `value` / `scales`, computed right before `before`."""
    import onnx_ir as ir

    name = str(value.name)
    producer = value.producer()
    if producer is not None and _scalable_normalisation(producer):
        fixed = [constant(one) for one in producer.inputs[1:]]
        affine = [
            add_constant(graph, f"{name}_even_{i}", as_float32(array / scales))
            for i, array in enumerate(fixed)
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


def worth_it(value: ir.Value, seen: Activations) -> bool:
    """Whether evening out these channels is free, or they differ enough to pay for it."""
    producer = value.producer()
    if producer is not None and _scalable_normalisation(producer):
        return True
    return float(seen.peak.max()) > OUTLIER * float(np.median(seen.peak))


def _scalable_normalisation(node: ir.Node) -> bool:
    if node.op_type != "LayerNormalization" or node.attributes.get_int("axis", -1) != -1:
        return False
    return len(node.outputs) == 1 and all(
        one is None or constant(one) is not None for one in node.inputs[1:]
    )
