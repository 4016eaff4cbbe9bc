"""Reading and rewriting ONNX graphs: what quantisation and folding both need.

Half precision for what stays in floating point, to make files smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx_ir as ir


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the array that a value always has, or None if it depends on the input."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """Store an array in the graph and return its value."""
    import onnx_ir as ir

    value = ir.Value(
        name=name,
        const_value=ir.tensor(array, name=name),
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
    )
    graph.register_initializer(value)
    return value


def linear_layers(graph: ir.Graph) -> list[ir.Node]:
    """Return the matrix products with fixed weights: the linear layers over tokens."""
    found = []
    for node in graph:
        if node.op_type != "MatMul":
            continue
        weight = constant(node.inputs[1])
        if weight is not None and weight.ndim == 2 and constant(node.inputs[0]) is None:
            found.append(node)
    return found


# Operators that treat each token on its own, so that picking one token before them gives
# the same as picking it after them.
_TOKENWISE = {
    "Add",
    "Mul",
    "Sub",
    "Div",
    "Gelu",
    "Relu",
    "Tanh",
    "LayerNormalization",
    "MatMul",
}


def keep_first_token(model: ir.Model) -> int:
    """Compute what follows the last attention for the first token alone, where only it is read.

    A classifier reads one token of the last layer. Its last projection, feed-forward block
    and normalisations then need not run over the others; every output stays the same.
    Returns how many operators are spared the other tokens.
    """
    graph = model.graph
    picks = [_as_slice(graph, node) for node in list(graph) if _picks_one_token(node)]
    moved = 0
    while (producer := next(filter(None, map(_movable, picks)), None)) is not None:
        output = producer.outputs[0]
        done = list(output.consumers())
        index = done[0].inputs[1]
        for position, value in enumerate(producer.inputs):
            if value is not None and constant(value) is None:
                earlier = _slice(graph, producer, value, index)
                producer.replace_input_with(position, earlier.outputs[0])
                picks.append(earlier)
        output.shape = done[0].outputs[0].shape
        for pick in done:
            pick.outputs[0].replace_all_uses_with(output)
            graph.remove(pick, safe=True)
            picks.remove(pick)
        moved += 1
    return moved


def _picks_one_token(node: ir.Node) -> bool:
    """Gather of a scalar index over tokens: [batch, tokens, width] → [batch, width]."""
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 1:
        return False
    index, source = constant(node.inputs[1]), node.inputs[0]
    rank = None if source is None or source.shape is None else source.shape.rank()
    return index is not None and index.ndim == 0 and rank == 3


def _as_slice(graph: ir.Graph, pick: ir.Node) -> ir.Node:
    """Replace the pick by one that keeps the axis, [batch, 1, width], and a Squeeze.

    With three axes the products after it stay MatMul, which runs in integers; with two,
    ONNX Runtime would turn them into Gemm.
    """
    import onnx_ir as ir

    source, index = pick.inputs[0], constant(pick.inputs[1])
    assert source is not None
    assert index is not None
    name = str(pick.outputs[0].name)
    row = add_constant(graph, f"{name}_index", index.reshape(1).astype(np.int64))
    axis = add_constant(graph, f"{name}_axis", np.array([1], dtype=np.int64))
    kept = _slice(graph, pick, source, row)
    squeeze = ir.node("Squeeze", [kept.outputs[0], axis])
    graph.insert_before(pick, squeeze)
    squeeze.outputs[0].shape = pick.outputs[0].shape
    squeeze.outputs[0].type = pick.outputs[0].type
    pick.outputs[0].replace_all_uses_with(squeeze.outputs[0])
    graph.remove(pick, safe=True)
    return kept


def _slice(
    graph: ir.Graph, before: ir.Node, value: ir.Value, index: ir.Value | None
) -> ir.Node:
    import onnx_ir as ir

    new = ir.node("Gather", [value, index], attributes={"axis": 1})
    if value.shape is not None:
        new.outputs[0].shape = ir.Shape([value.shape[0], 1, value.shape[2]])
    new.outputs[0].type = value.type
    graph.insert_before(before, new)
    return new


def _movable(pick: ir.Node) -> ir.Node | None:
    """Return the operator before the pick if it can run after the pick instead."""
    source = pick.inputs[0]
    producer = None if source is None else source.producer()
    if source is None or producer is None or producer.op_type not in _TOKENWISE:
        return None
    same = (
        user.op_type == "Gather" and user.inputs[1] is pick.inputs[1]
        for user in source.consumers()
    )
    if source.is_graph_output() or not all(same):
        return None
    if (
        producer.op_type == "LayerNormalization"
        and producer.attributes.get_int("axis", -1) != -1
    ):
        return None
    for position, value in enumerate(producer.inputs):
        if value is None:
            continue
        fixed = constant(value)
        if fixed is not None:
            if producer.op_type != "MatMul" and fixed.ndim > 1:
                return None
            continue
        # A sum that broadcasts, or a product of two activations, mixes tokens.
        per_token = value.shape is not None and value.shape.rank() == 3
        if not per_token or position > (0 if producer.op_type == "MatMul" else 1):
            return None
    return producer


def as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return the array in single precision."""
    return np.asarray(array, dtype=np.float32)


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
