"""Reading, writing and rewriting of ONNX graphs: constants, linear layers, half precision."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelError

if TYPE_CHECKING:
    import onnx_ir as ir


INLINE_BYTES = 1 << 30
"""Larger weights are stored beside a graph: a message of protobuf has at most 2 GB."""

# The first version with a scale for each column (axis of DequantizeLinear).
_MIN_OPSET = 13


def load_graph(file: Path) -> ir.Model:
    """Read a full-precision graph that another program wrote, ready to be quantized.

    Raises `ModelError` for a graph that is too old, or stores its weights in half precision.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass

    model = ir.load(str(file))
    opset = int(model.graph.opset_imports.get("", 0))
    if opset < _MIN_OPSET:
        raise ModelError(
            "The ONNX graph is too old to be quantized",
            where=str(file),
            why=f"its operators are of version {opset}, and columns have scales from "
            f"{_MIN_OPSET} on",
            fix=f"Export it again with opset {_MIN_OPSET} or later.",
        )
    LiftConstantsToInitializersPass(size_limit=0)(model)
    halves = [
        value.name
        for value in model.graph.initializers.values()
        if value.const_value is not None
        and value.const_value.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    ]
    if halves:
        raise ModelError(
            "The ONNX graph is not in single precision",
            where=str(file),
            why=f"{halves[0]} is stored in half precision",
            fix="Export it in single precision (float32).",
        )
    return model


def graph_bytes(model: ir.Model) -> int:
    """Return the size of all constants of a graph."""
    values = (value.const_value for value in model.graph.initializers.values())
    return sum(value.nbytes for value in values if value is not None)


def save_graph(model: ir.Model, file: Path) -> None:
    """Write a graph; weights beyond 1 GB go beside it, to `file` with ".data" appended."""
    import onnx_ir as ir

    if graph_bytes(model) > INLINE_BYTES:
        ir.save(model, str(file), external_data=f"{file.name}.data")
        return
    # What the graph was read from may lie elsewhere, or be a temporary file.
    ir.save(ir.external_data.load_to_model(model), str(file))


def open_session(model: ir.Model, outputs: Sequence[str] = ()) -> Any:
    """Return a session of ONNX Runtime over the graph as it is now.

    `outputs` are the names of tensors that it returns besides its outputs.
    """
    import onnx
    import onnx_ir as ir
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]

    def add_outputs(proto: Any) -> Any:
        known = {output.name for output in proto.graph.output}
        proto.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in outputs if name not in known
        )
        return proto

    if graph_bytes(model) <= INLINE_BYTES:
        proto = add_outputs(ir.to_proto(ir.external_data.load_to_model(model)))
        return ort.InferenceSession(proto.SerializeToString(), options, providers=providers)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        save_graph(model, file)
        onnx.save(add_outputs(onnx.load(str(file), load_external_data=False)), str(file))
        return ort.InferenceSession(str(file), options, providers=providers)


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the array of a constant value, or None if it depends on the input."""
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
    """Return the matrix products with constant weights: the linear layers over tokens."""
    layers = []
    for node in graph:
        if node.op_type != "MatMul":
            continue
        weight = constant(node.inputs[1])
        if weight is not None and weight.ndim == 2 and constant(node.inputs[0]) is None:
            layers.append(node)
    return layers


# Operators on each token alone: selecting one token before them gives the same as after them.
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
    """Compute what follows the last attention for the first token alone, if only it is used.

    A classifier uses one token of the last layer. The last projection, feed-forward block and
    normalizations then need not run over the others; every output stays the same. Returns the
    number of operators that run over one token now.
    """
    graph = model.graph
    selections = [_as_slice(graph, node) for node in list(graph) if _selects_one_token(node)]
    moved = 0
    while (producer := next(filter(None, map(_movable, selections)), None)) is not None:
        output = producer.outputs[0]
        replaced = list(output.consumers())
        index = replaced[0].inputs[1]
        for position, value in enumerate(producer.inputs):
            if value is not None and constant(value) is None:
                earlier = _slice(graph, producer, value, index)
                producer.replace_input_with(position, earlier.outputs[0])
                selections.append(earlier)
        output.shape = replaced[0].outputs[0].shape
        for selection in replaced:
            selection.outputs[0].replace_all_uses_with(output)
            graph.remove(selection, safe=True)
            selections.remove(selection)
        moved += 1
    return moved


def _selects_one_token(node: ir.Node) -> bool:
    """Return whether a node gathers one token: [batch, tokens, width] → [batch, width]."""
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 1:
        return False
    index, source = constant(node.inputs[1]), node.inputs[0]
    rank = None if source is None or source.shape is None else source.shape.rank()
    return index is not None and index.ndim == 0 and rank == 3


def _as_slice(graph: ir.Graph, selection: ir.Node) -> ir.Node:
    """Replace the selection by one that keeps the axis, [batch, 1, width], and a Squeeze.

    With three axes the products after it stay MatMul, which runs in integers; with two,
    ONNX Runtime would turn them into Gemm.
    """
    import onnx_ir as ir

    source, index = selection.inputs[0], constant(selection.inputs[1])
    assert source is not None
    assert index is not None
    name = str(selection.outputs[0].name)
    row = add_constant(graph, f"{name}_index", index.reshape(1).astype(np.int64))
    axis = add_constant(graph, f"{name}_axis", np.array([1], dtype=np.int64))
    token = _slice(graph, selection, source, row)
    squeeze = ir.node("Squeeze", [token.outputs[0], axis])
    graph.insert_before(selection, squeeze)
    squeeze.outputs[0].shape = selection.outputs[0].shape
    squeeze.outputs[0].type = selection.outputs[0].type
    selection.outputs[0].replace_all_uses_with(squeeze.outputs[0])
    graph.remove(selection, safe=True)
    return token


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


def _movable(selection: ir.Node) -> ir.Node | None:
    """Return the operator before the selection if it can run after it instead."""
    source = selection.inputs[0]
    producer = None if source is None else source.producer()
    if source is None or producer is None or producer.op_type not in _TOKENWISE:
        return None
    same_index = (
        user.op_type == "Gather" and user.inputs[1] is selection.inputs[1]
        for user in source.consumers()
    )
    if source.is_graph_output() or not all(same_index):
        return None
    if (
        producer.op_type == "LayerNormalization"
        and producer.attributes.get_int("axis", -1) != -1
    ):
        return None
    for position, value in enumerate(producer.inputs):
        if value is None:
            continue
        array = constant(value)
        if array is not None:
            if producer.op_type != "MatMul" and array.ndim > 1:
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
MIN_SIZE = 1 << 14


def store_constants_as_float16(model: ir.Model) -> int:
    """Store large arrays of float32 as float16, in place; return the bytes saved.

    Each is cast back where it is used, which ONNX Runtime does once, when it loads the
    graph. Values keep 11 bits, an error of about one in a thousand; arrays with values out of
    the range of float16 stay as they are.
    """
    import onnx_ir as ir

    graph, saved = model.graph, 0
    for value in list(graph.initializers.values()):
        array = constant(value)
        if array is None or array.dtype != np.float32 or array.size < MIN_SIZE:
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
