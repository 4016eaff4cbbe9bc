"""Half precision for what stays in floating point, to make files smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from secondpass.train.export.onnx_graph import add_constant, constant

if TYPE_CHECKING:
    import onnx_ir as ir

# Smaller arrays (biases, scales of columns) are not worth an operator.
SMALLEST = 1 << 14


def halve_constants(model: ir.Model) -> int:
    """Store large arrays of float32 as float16, in place; return the bytes saved.

    Each is cast back where it is used, which ONNX Runtime does once, when it loads the
    graph. Values lose all but 11 bits, about a thousandth part; arrays with numbers too
    large for that stay as they are.
    """
    import onnx_ir as ir

    graph, saved = model.graph, 0
    for value in list(graph.initializers.values()):
        array = constant(value)
        if array is None or array.dtype != np.float32 or array.size < SMALLEST:
            continue
        if np.abs(array).max() > np.finfo(np.float16).max:
            continue
        users = [node for node, _ in value.uses()]
        if not users:
            continue
        half = add_constant(graph, f"{value.name}_half", array.astype(np.float16))
        cast = ir.node("Cast", [half], attributes={"to": ir.DataType.FLOAT.value})
        cast.outputs[0].shape, cast.outputs[0].type = value.shape, value.type
        first = min(users, key=list(graph).index)
        graph.insert_before(first, cast)
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[str(value.name)]
        saved += array.nbytes // 2
    return saved
