"""Restored weights: those of an exported cross-encoder, read back from its int8 graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelError

FloatArray = NDArray[np.float32]
_PREFIX = "model."


def restore_weights(folder: Path) -> dict[str, FloatArray]:
    """Return the weights of a graph that `secondpass export` wrote, by their PyTorch names.

    Linear layers have their shape in PyTorch, [outputs, inputs], and the error of rounding to
    int8; what the export moved from activations into them is moved back. Embedding tables,
    which a graph may borrow, are left out. Raises `ModelError` for a graph without such names.
    """
    import onnx

    graph = onnx.load(str(folder / "model.onnx"), load_external_data=False).graph
    tensors = {t.name: t for t in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}

    def array(name: str) -> NDArray[Any]:
        return np.asarray(onnx.numpy_helper.to_array(tensors[name]))

    norms = {
        node.input[0]: node.input[1]
        for node in graph.node
        if node.op_type == "LayerNormalization" and node.input[1].startswith(_PREFIX)
    }
    found: dict[str, FloatArray] = {
        name.removeprefix(_PREFIX): array(name).astype(np.float32)
        for name, tensor in tensors.items()
        if name.startswith(_PREFIX)
        and tensor.data_location != onnx.TensorProto.EXTERNAL
        and ".embeddings." not in name
    }
    for node in graph.node:
        bias = next((name for name in node.input if name.endswith(".bias")), None)
        product = producers.get(node.input[0])
        if node.op_type != "Add" or bias is None or product is None:
            continue
        weight = producers.get(product.input[1])
        if product.op_type != "MatMul" or weight is None:
            continue
        quantized, scale, zero = map(array, weight.input)
        values = (quantized.astype(np.float32) - zero.astype(np.float32)) * scale
        smoothing = _smoothing(producers, product.input[0], norms, array)
        if smoothing is not None:
            values = values * smoothing[:, None]
        name = bias.removeprefix(_PREFIX).removesuffix(".bias") + ".weight"
        found[name] = values.T.astype(np.float32)
    if not any(name.endswith("dense.weight") for name in found):
        raise ModelError(
            "The weights cannot be restored from the graph",
            where=str(folder),
            why="it has no linear layers that `secondpass export` quantized",
        )
    return found


def _smoothing(
    producers: dict[str, Any], name: str, norms: dict[str, str], array: Any
) -> FloatArray | None:
    """Return what an activation is multiplied by before it is quantized, None for nothing."""
    quantize = producers[producers[name].input[0]]
    source = producers.get(quantize.input[0])
    if source is None:
        return None
    if source.op_type == "Mul" and source.input[1].endswith("_even"):
        return np.asarray(array(source.input[1]), dtype=np.float32)
    own = norms.get(source.input[0])
    if source.op_type == "LayerNormalization" and own not in (None, source.input[1]):
        return np.asarray(array(source.input[1]) / array(own), dtype=np.float32)
    return None
