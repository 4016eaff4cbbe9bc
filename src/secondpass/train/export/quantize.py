"""Static 8-bit integers for linear layers and embedding tables.

Activations become unsigned 8-bit integers with a range fixed beforehand; weights become
signed integers of 7 bits with one scale a column. Seven bits keep the sum of two products
inside 16 bits (2 · 255 · 63 = 32,130), so processors that add them in 16 bits (AVX2, AVX-512
without VNNI) get the same integers as those that do not.

Weights are rounded with error compensation (GPTQ) and activations smoothed (SmoothQuant).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondpass.train.export.calibrate import Activations
from secondpass.train.export.onnx_graph import add_constant, as_float32, constant, linear_layers
from secondpass.train.export.smoothquant import (
    STRENGTH,
    channel_scales,
    divide_channels,
    is_worthwhile,
)

if TYPE_CHECKING:
    import onnx_ir as ir


Float32 = NDArray[np.float32]

# The largest integer of a weight, of 7 bits; why is said above.
WEIGHT_LEVEL = 63
DAMPING = 0.01
BLOCK = 64


def column_scales(weight: Float32, level: int = WEIGHT_LEVEL) -> Float32:
    """Return the scale of each column of [inputs, outputs] with the least squared error."""
    peak = np.abs(weight).max(axis=0)
    peak = np.where(peak == 0, np.float32(1.0), peak)
    best = (peak / level).astype(np.float32)
    lowest_error = np.full(peak.shape, np.inf)
    for share in np.linspace(0.7, 1.0, 31):
        scale = (peak * share / level).astype(np.float32)
        error = ((round_to_nearest(weight, scale, level) * scale - weight) ** 2).sum(axis=0)
        better = error < lowest_error
        best[better], lowest_error[better] = scale[better], error[better]
    return best


def round_to_nearest(
    weight: Float32, scale: Float32, level: int = WEIGHT_LEVEL
) -> NDArray[np.int8]:
    """Return the nearest integers within ±`level`."""
    levels = np.clip(np.rint(weight / scale), -level, level)
    return np.asarray(levels, dtype=np.int8)


def round_with_compensation(
    weight: Float32,
    scale: Float32,
    products: NDArray[np.float64],
    level: int = WEIGHT_LEVEL,
) -> NDArray[np.int8]:
    """Return integers whose outputs differ least from those of `weight` on real inputs.

    `weight` is [inputs, outputs], `scale` [outputs], `products` the sum over inputs x of
    x xᵀ, [inputs, inputs]. Rows are rounded one after another, and the error of each is
    compensated in the rows not yet rounded, as the inputs are correlated (GPTQ, Frantar et
    al., 2022, https://arxiv.org/abs/2210.17323).
    """
    rows = len(weight)
    diagonal = np.diag(products)
    order = np.argsort(-diagonal, kind="stable")
    damped = products[np.ix_(order, order)] + np.eye(rows) * max(
        DAMPING * float(diagonal.mean()), 1e-8
    )
    # Upper Cholesky factor of the inverse: row i says how the error of input i is distributed.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    remaining = weight[order].astype(np.float64)
    rounded_weight = np.empty(weight.shape, dtype=np.int8)
    for start in range(0, rows, BLOCK):
        block = slice(start, min(start + BLOCK, rows))
        errors = np.zeros_like(remaining[block])
        for row in range(block.start, block.stop):
            exact = remaining[row]
            rounded = np.clip(np.rint(exact / scale), -level, level)
            rounded_weight[order[row]] = rounded.astype(np.int8)
            errors[row - start] = (exact - rounded * scale) / factor[row, row]
            after = slice(row + 1, block.stop)
            remaining[after] -= np.outer(factor[row, after], errors[row - start])
        remaining[block.stop :] -= factor[block, block.stop :].T @ errors
    return rounded_weight


ROW_LEVEL = 127
# Smaller tables (segments) are not worth scales of their own.
MIN_TABLE_SIZE = 1 << 17


@dataclass(frozen=True, slots=True)
class QuantizationRecipe:
    """Measures against rounding errors; the defaults are what measured best.

    `strength`, 0 to 1, is the smoothing strength: the share of the spread of channels that
    moves from activations to weights; None does not smooth. `compensate` rounds weights with
    error compensation. `weight_level` is the largest integer of a weight.
    """

    strength: float | None = STRENGTH
    compensate: bool = True
    weight_level: int = WEIGHT_LEVEL


DEFAULT_RECIPE = QuantizationRecipe()


def linear_layer_inputs(graph: ir.Graph) -> list[str]:
    """Return the names of the tensors that `quantize` needs statistics of, each once."""
    names = (str(node.inputs[0].name) for node in linear_layers(graph) if node.inputs[0])
    return list(dict.fromkeys(names))


def quantize(
    model: ir.Model,
    activations: Mapping[str, Activations],
    progress: Callable[[str, int, int], None] | None = None,
    recipe: QuantizationRecipe = DEFAULT_RECIPE,
) -> None:
    """Rewrite the graph in place: integer linear layers and integer embedding tables.

    `activations` has an entry for each of `linear_layer_inputs`, with products where the
    recipe compensates errors. Biases, attention,
    normalization, activation functions and the head stay in single precision.
    """
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    consumers: dict[str, list[ir.Node]] = {}
    for node in linear_layers(model.graph):
        if node.inputs[0] is not None:
            consumers.setdefault(str(node.inputs[0].name), []).append(node)
    for done, (name, nodes) in enumerate(consumers.items(), start=1):
        _quantize_consumers(model.graph, nodes, activations[name], recipe)
        if progress is not None:
            progress("quantize", done, len(consumers))
    _quantize_tables(model.graph)
    RemoveUnusedNodesPass()(model)


def activation_scale(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Return scale and zero point of unsigned 8-bit integers that span [low, high] and 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255) if high > low else np.float32(1.0)
    return scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255))


def _quantize_consumers(
    graph: ir.Graph, nodes: list[ir.Node], activations: Activations, recipe: QuantizationRecipe
) -> None:
    """Quantize the linear layers that consume one tensor, and the tensor once for all."""
    import onnx_ir as ir

    source, first = nodes[0].inputs[0], nodes[0]
    assert source is not None
    name = str(source.name)
    weights = [as_float32(w) for n in nodes if (w := constant(n.inputs[1])) is not None]
    scales = np.ones(len(activations.low), dtype=np.float32)
    if recipe.strength is not None and is_worthwhile(source, activations):
        scales = channel_scales(activations, weights, recipe.strength)
        source = divide_channels(graph, source, scales, first)
    step, zero = activation_scale(
        float((activations.low / scales).min()), float((activations.high / scales).max())
    )
    grid = (
        add_constant(graph, f"{name}_scale", np.asarray(step)),
        add_constant(graph, f"{name}_zero", np.asarray(zero)),
    )
    quantized = ir.node("QuantizeLinear", [source, *grid])
    dequantized = ir.node("DequantizeLinear", [quantized.outputs[0], *grid])
    graph.insert_before(first, [quantized, dequantized])
    products = activations.products
    if recipe.compensate:
        products = products / np.outer(scales, scales)
    for node, weight in zip(nodes, weights, strict=True):
        integers = _integer_weight(graph, node, weight * scales[:, None], products, recipe)
        node.replace_input_with(0, dequantized.outputs[0])
        node.replace_input_with(1, integers)


def _integer_weight(
    graph: ir.Graph,
    node: ir.Node,
    weight: Float32,
    products: NDArray[np.float64],
    recipe: QuantizationRecipe,
) -> ir.Value:
    import onnx_ir as ir

    level = recipe.weight_level
    scales = column_scales(weight, level)
    rounded = (
        round_with_compensation(weight, scales, products, level)
        if recipe.compensate
        else round_to_nearest(weight, scales, level)
    )
    label = str(node.outputs[0].name)
    dequantize = ir.node(
        "DequantizeLinear",
        [
            add_constant(graph, f"{label}_weight", rounded),
            add_constant(graph, f"{label}_weight_scale", scales),
            add_constant(graph, f"{label}_weight_zero", np.zeros(scales.shape, np.int8)),
        ],
        attributes={"axis": 1},
    )
    graph.insert_before(node, dequantize)
    return dequantize.outputs[0]


def _quantize_tables(graph: ir.Graph) -> None:
    """Replace Gather(table) by Gather(integers) · Gather(scale of the row)."""
    import onnx_ir as ir

    for node in [n for n in graph if n.op_type == "Gather"]:
        table = constant(node.inputs[0])
        if table is None or table.ndim != 2 or table.size < MIN_TABLE_SIZE:
            continue
        if node.attributes.get_int("axis", 0) != 0 or table.dtype.kind != "f":
            continue
        table = as_float32(table)
        peak = np.abs(table).max(axis=1, keepdims=True)
        scale = as_float32(np.where(peak == 0, 1.0, peak) / ROW_LEVEL)
        label = str(node.outputs[0].name)
        integers = add_constant(graph, f"{label}_table", np.rint(table / scale).astype(np.int8))
        row_scales = add_constant(graph, f"{label}_table_scale", scale)
        rows = ir.node("Gather", [integers, node.inputs[1]], attributes={"axis": 0})
        scales = ir.node("Gather", [row_scales, node.inputs[1]], attributes={"axis": 0})
        floats = ir.node("Cast", [rows.outputs[0]], attributes={"to": ir.DataType.FLOAT.value})
        product = ir.node("Mul", [floats.outputs[0], scales.outputs[0]])
        graph.insert_before(node, [rows, scales, floats, product])
        node.outputs[0].replace_all_uses_with(product.outputs[0])
