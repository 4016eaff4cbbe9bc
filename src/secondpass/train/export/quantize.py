"""Static 8-bit integers for linear layers and embedding tables.

Activations become unsigned 8-bit integers with a range fixed beforehand; weights become
signed integers of 7 bits with one scale a column. Seven bits keep the sum of two products
inside 16 bits (2 · 255 · 63 = 32,130), so processors that add them in 16 bits (AVX2, AVX-512
without VNNI) get the same integers as those that do not.

Real weights to integers, each rounding error made up for by the weights still to come.
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
    worth_it,
)

if TYPE_CHECKING:
    import onnx_ir as ir


Float32 = NDArray[np.float32]

# The largest integer of a weight; see `secondpass.train.export.quantize`.
WEIGHT_LEVEL = 63
DAMPING = 0.01
BLOCK = 64


def column_scales(weight: Float32, level: int = WEIGHT_LEVEL) -> Float32:
    """Return for each column of [inputs, outputs] the scale with least squared error."""
    peak = np.abs(weight).max(axis=0)
    peak = np.where(peak == 0, np.float32(1.0), peak)
    best = (peak / level).astype(np.float32)
    least = np.full(peak.shape, np.inf)
    for share in np.linspace(0.7, 1.0, 31):
        scale = (peak * share / level).astype(np.float32)
        error = ((nearest(weight, scale, level) * scale - weight) ** 2).sum(axis=0)
        better = error < least
        best[better], least[better] = scale[better], error[better]
    return best


def nearest(weight: Float32, scale: Float32, level: int = WEIGHT_LEVEL) -> NDArray[np.int8]:
    """Return the nearest integers within ±`level`."""
    levels = np.clip(np.rint(weight / scale), -level, level)
    return np.asarray(levels, dtype=np.int8)


def compensated(
    weight: Float32,
    scale: Float32,
    products: NDArray[np.float64],
    level: int = WEIGHT_LEVEL,
) -> NDArray[np.int8]:
    """Return integers whose outputs differ least from those of `weight` on real inputs.

    `weight` is [inputs, outputs], `scale` [outputs], `products` the sum over inputs x of
    x xᵀ, [inputs, inputs]. Rows are rounded one after another, and the error of each is
    spread over the rows not yet rounded, as the inputs are correlated (GPTQ, Frantar et
    al., 2022, https://arxiv.org/abs/2210.17323).
    """
    rows = len(weight)
    diagonal = np.diag(products)
    order = np.argsort(-diagonal, kind="stable")
    damped = products[np.ix_(order, order)] + np.eye(rows) * max(
        DAMPING * float(diagonal.mean()), 1e-8
    )
    # Upper Cholesky factor of the inverse: row i holds how the error of input i is shared.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight[order].astype(np.float64)
    found = np.empty(weight.shape, dtype=np.int8)
    for start in range(0, rows, BLOCK):
        block = slice(start, min(start + BLOCK, rows))
        errors = np.zeros_like(left[block])
        for row in range(block.start, block.stop):
            exact = left[row]
            rounded = np.clip(np.rint(exact / scale), -level, level)
            found[order[row]] = rounded.astype(np.int8)
            errors[row - start] = (exact - rounded * scale) / factor[row, row]
            after = slice(row + 1, block.stop)
            left[after] -= np.outer(factor[row, after], errors[row - start])
        left[block.stop :] -= factor[block, block.stop :].T @ errors
    return found


ROW_LEVEL = 127
# Smaller tables (segments) are not worth scales of their own.
SMALLEST_TABLE = 1 << 17


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done against rounding errors; the defaults are what measured best.

    `strength`, 0 to 1, is the share of unevenness moved from activations to weights; None
    leaves channels as they are. `compensate` rounds weights one after another, each making
    up for the last. `weight_level` is the largest integer of a weight.
    """

    strength: float | None = STRENGTH
    compensate: bool = True
    weight_level: int = WEIGHT_LEVEL


BEST = Recipe()


def inputs_of_linear_layers(graph: ir.Graph) -> list[str]:
    """Return the names of the tensors that `quantise` must know, each once."""
    names = (str(node.inputs[0].name) for node in linear_layers(graph) if node.inputs[0])
    return list(dict.fromkeys(names))


def quantise(
    model: ir.Model,
    seen: Mapping[str, Activations],
    progress: Callable[[str, int, int], None] | None = None,
    recipe: Recipe = BEST,
) -> None:
    """Rewrite the graph in place: integer linear layers and integer embedding tables.

    `seen` holds an entry for each of `inputs_of_linear_layers`. Biases, attention,
    normalisation, activation functions and the head stay in single precision.
    """
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    readers: dict[str, list[ir.Node]] = {}
    for node in linear_layers(model.graph):
        if node.inputs[0] is not None:
            readers.setdefault(str(node.inputs[0].name), []).append(node)
    for done, (name, nodes) in enumerate(readers.items(), start=1):
        _quantise_readers(model.graph, nodes, seen[name], recipe)
        if progress is not None:
            progress("quantise", done, len(readers))
    _quantise_tables(model.graph)
    RemoveUnusedNodesPass()(model)


def activation_scale(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Return scale and zero point of unsigned 8-bit integers that span [low, high] and 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255) if high > low else np.float32(1.0)
    return scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255))


def _quantise_readers(
    graph: ir.Graph, nodes: list[ir.Node], seen: Activations, recipe: Recipe
) -> None:
    """Quantise the linear layers that read one tensor, and the tensor once for all of them."""
    import onnx_ir as ir

    source, first = nodes[0].inputs[0], nodes[0]
    assert source is not None
    name = str(source.name)
    weights = [as_float32(w) for n in nodes if (w := constant(n.inputs[1])) is not None]
    scales = np.ones(len(seen.low), dtype=np.float32)
    if recipe.strength is not None and worth_it(source, seen):
        scales = channel_scales(seen, weights, recipe.strength)
        source = divide_channels(graph, source, scales, first)
    step, zero = activation_scale(
        float((seen.low / scales).min()), float((seen.high / scales).max())
    )
    grid = (
        add_constant(graph, f"{name}_scale", np.asarray(step)),
        add_constant(graph, f"{name}_zero", np.asarray(zero)),
    )
    rounded = ir.node("QuantizeLinear", [source, *grid])
    back = ir.node("DequantizeLinear", [rounded.outputs[0], *grid])
    graph.insert_before(first, [rounded, back])
    products = seen.products / np.outer(scales, scales)
    for node, weight in zip(nodes, weights, strict=True):
        dequantised = _integer_weight(graph, node, weight * scales[:, None], products, recipe)
        node.replace_input_with(0, back.outputs[0])
        node.replace_input_with(1, dequantised)


def _integer_weight(
    graph: ir.Graph,
    node: ir.Node,
    weight: Float32,
    products: NDArray[np.float64],
    recipe: Recipe,
) -> ir.Value:
    import onnx_ir as ir

    level = recipe.weight_level
    scales = column_scales(weight, level)
    rounded = (
        compensated(weight, scales, products, level)
        if recipe.compensate
        else nearest(weight, scales, level)
    )
    label = str(node.outputs[0].name)
    dequantise = ir.node(
        "DequantizeLinear",
        [
            add_constant(graph, f"{label}_weight", rounded),
            add_constant(graph, f"{label}_weight_scale", scales),
            add_constant(graph, f"{label}_weight_zero", np.zeros(scales.shape, np.int8)),
        ],
        attributes={"axis": 1},
    )
    graph.insert_before(node, dequantise)
    return dequantise.outputs[0]


def _quantise_tables(graph: ir.Graph) -> None:
    """Turn Gather(table) into Gather(integers) · Gather(scale of the row)."""
    import onnx_ir as ir

    for node in [n for n in graph if n.op_type == "Gather"]:
        table = constant(node.inputs[0])
        if table is None or table.ndim != 2 or table.size < SMALLEST_TABLE:
            continue
        if node.attributes.get_int("axis", 0) != 0 or table.dtype.kind != "f":
            continue
        table = as_float32(table)
        peak = np.abs(table).max(axis=1, keepdims=True)
        scale = as_float32(np.where(peak == 0, 1.0, peak) / ROW_LEVEL)
        label = str(node.outputs[0].name)
        whole = add_constant(graph, f"{label}_table", np.rint(table / scale).astype(np.int8))
        steps = add_constant(graph, f"{label}_table_scale", scale)
        rows = ir.node("Gather", [whole, node.inputs[1]], attributes={"axis": 0})
        row_steps = ir.node("Gather", [steps, node.inputs[1]], attributes={"axis": 0})
        number = ir.node("Cast", [rows.outputs[0]], attributes={"to": ir.DataType.FLOAT.value})
        product = ir.node("Mul", [number.outputs[0], row_steps.outputs[0]])
        graph.insert_before(node, [rows, row_steps, number, product])
        node.outputs[0].replace_all_uses_with(product.outputs[0])
