"""Matching of what the graphs of all encoders have: linear layers, normalizations, heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from secondpass.inference.native.encoder import (
    Activation,
    Classifier,
    GraphMismatch,
    LayerNorm,
    Quantization,
    QuantizedLinear,
)
from secondpass.inference.native.onnx_file import Graph, Node, Table
from secondpass.inference.types import Float32

MAX_WEIGHT = 63
"""Pairs of products are added in 16 bits without VNNI; see docs/explanation/quantization.md."""


class GraphMatcher:
    """Matches the parts of a graph, from their outputs to their inputs.

    Each method takes the name of an output, checks the operators behind it, and raises
    `GraphMismatch` for others.
    """

    def __init__(self, graph: Graph, tables: Mapping[str, Table]) -> None:
        self.graph = graph
        self.tables = tables
        self.producers = {output: node for node in graph.nodes for output in node.outputs}
        known = {*graph.inputs, *tables, ""}
        for node in graph.nodes:
            if not known.issuperset(node.inputs):
                raise GraphMismatch("operators are not in order, or have an undefined input")
            known.update(node.outputs)

    # --- operators -----------------------------------------------------------------------

    def node(self, name: str, *kinds: str) -> Node:
        """Return the operator that computes a value, of one of these kinds."""
        node = self.producers.get(name)
        if node is None or node.kind not in kinds:
            actual = "a table or an input" if node is None else node.kind
            raise GraphMismatch(f"{name} is {actual}, not {' or '.join(kinds)}")
        return node

    def table(self, name: str) -> Table:
        """Return a constant."""
        table = self.tables.get(name)
        if table is None:
            raise GraphMismatch(f"{name} is not a table")
        return table

    def integers(self, name: str) -> list[int]:
        """Return the elements of a constant."""
        return [int(x) for x in self.table(name).reshape(-1)]

    def node_with_table(self, name: str, kind: str) -> tuple[str, Table]:
        """Match an operator with a table as one of two inputs; return the other, and it."""
        a, b = self.node(name, kind).inputs
        return (a, self.table(b)) if b in self.tables else (b, self.table(a))

    def has_kind(self, name: str, *kinds: str) -> bool:
        """Return whether an operator of one of these kinds computes the value."""
        return name in self.producers and self.producers[name].kind in kinds

    def is_linear(self, name: str) -> bool:
        """Return whether this is a linear layer, with a bias or without."""
        if self.has_kind(name, "Add"):
            a, b = self.producers[name].inputs
            name = a if b in self.tables else b if a in self.tables else ""
        if not self.has_kind(name, "MatMul"):
            return False
        return self.has_kind(self.producers[name].inputs[1], "DequantizeLinear")

    def skip(self, name: str, *kinds: str) -> str:
        """Return what a value is made from, through the first inputs of such operators."""
        while self.has_kind(name, *kinds):
            name = self.producers[name].inputs[0]
        return name

    def ancestors(self, name: str) -> list[Node]:
        """Return the operators that a value depends on; those before a Shape do not count."""
        found: list[Node] = []
        visited: set[str] = set()
        stack = [name]
        while stack:
            value = stack.pop()
            node = self.producers.get(value)
            if node is None or value in visited:
                continue
            visited.update(node.outputs)
            found.append(node)
            if node.kind != "Shape":
                stack += node.inputs
        return found

    def inputs_of(self, name: str) -> set[str]:
        """Return the graph's inputs that a value depends on."""
        values = {name}
        for node in self.ancestors(name):
            values.update(node.inputs if node.kind != "Shape" else ())
        return values & set(self.graph.inputs)

    # --- parts -----------------------------------------------------------------------

    def linear(self, name: str) -> tuple[str, QuantizedLinear]:
        """Match a linear layer; return its input, before quantization, and the layer."""
        product, bias = name, np.zeros(1, np.float32)
        if self.has_kind(name, "Add"):
            product, bias = self.node_with_table(name, "Add")
        inputs, weights = self.node(product, "MatMul").inputs
        weight, scale, zero = map(
            self.table, three(self.node(weights, "DequantizeLinear").inputs)
        )
        if weight.dtype != np.int8 or weight.ndim != 2 or np.any(zero):
            raise GraphMismatch(f"{product} has weights that are not symmetric int8")
        if weight.min() < -MAX_WEIGHT or weight.max() > MAX_WEIGHT:
            raise GraphMismatch(f"{product} has weights beyond {MAX_WEIGHT}")
        quantized, *parameters = three(self.node(inputs, "DequantizeLinear").inputs)
        source, *same = three(self.node(quantized, "QuantizeLinear").inputs)
        step, zero_point = map(self.table, parameters)
        if (
            parameters != same
            or zero_point.dtype != np.uint8
            or step.size != 1
            or zero_point.size != 1
        ):
            raise GraphMismatch(f"{inputs} is not quantized to uint8 by one scale")
        if not float(step) > 0:
            raise GraphMismatch(f"{inputs} is quantized with a scale of {float(step)}")
        columns = weight.shape[1]
        return source, QuantizedLinear(
            Quantization(float(step), int(zero_point)),
            weight,
            np.ascontiguousarray(np.broadcast_to(scale, columns), np.float32),
            np.ascontiguousarray(np.broadcast_to(bias, columns), np.float32),
        )

    def scaled(self, name: str) -> tuple[str, Float32 | None]:
        """Match a product with a constant, if it is one; return its input and the factors.

        SmoothQuant scales the channels of a linear layer's input in this way.
        """
        if not self.has_kind(name, "Mul"):
            return name, None
        inputs = self.producers[name].inputs
        if not any(value in self.tables for value in inputs):
            return name, None
        source, factors = self.node_with_table(name, "Mul")
        return source, np.asarray(factors, np.float32)

    def norm(self, name: str, next_input: str | None = None) -> tuple[str, LayerNorm]:
        """Match a layer normalization; return its input and both sets of its factors.

        `next_input` is the same normalization with the factors for the next linear layer.
        """
        node = self.node(name, "LayerNormalization")
        factors = self._factors(node)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        next_factors = factors
        if next_input is not None and next_input != name:
            other = self.node(next_input, "LayerNormalization")
            if other.inputs[0] != node.inputs[0] or other.attributes.get(
                "epsilon"
            ) != node.attributes.get("epsilon"):
                raise GraphMismatch(f"{next_input} and {name} normalize different inputs")
            next_factors = self._factors(other)
        return node.inputs[0], LayerNorm(*factors, *next_factors, epsilon)

    def _factors(self, node: Node) -> tuple[Float32, Float32]:
        if len(node.inputs) not in (2, 3) or node.attributes.get("axis", -1) != -1:
            raise GraphMismatch(f"{node.outputs[0]} is not a plain layer normalization")
        weight = np.asarray(self.table(node.inputs[1]), np.float32)
        bias = np.zeros_like(weight)
        if len(node.inputs) == 3 and node.inputs[2]:
            bias = np.asarray(self.table(node.inputs[2]), np.float32)
        return weight, bias

    def scores(self, name: str) -> tuple[str, str, str, str, float]:
        """Match joined heads of attention.

        Return the queries, the keys (transposed), the values, the mask and the score scale.
        """
        joined = self.node(self.node(name, "Reshape").inputs[0], "Transpose")
        if joined.attributes.get("perm") != (0, 2, 1, 3):
            raise GraphMismatch(f"{name} does not join heads by a transpose")
        weights, values = self.node(joined.inputs[0], "MatMul").inputs
        softmax = self.node(weights, "Softmax")
        if softmax.attributes.get("axis", -1) not in (-1, 3):
            raise GraphMismatch(f"{weights} is not a softmax over the last axis")
        a, b = self.node(softmax.inputs[0], "Add").inputs
        scaled, mask = (a, b) if self._is_scaled(a) else (b, a)
        if self.inputs_of(mask) != {"attention_mask"}:
            raise GraphMismatch(f"{mask} depends on more than attention_mask")
        kind = self.node(scaled, "Mul", "Div").kind
        multiplied, factor = self.node_with_table(scaled, kind)
        scale = float(factor.reshape(())) if kind == "Mul" else 1 / float(factor.reshape(()))
        queries, keys = self.node(multiplied, "MatMul").inputs
        return queries, keys, values, mask, scale

    def _is_scaled(self, name: str) -> bool:
        if not self.has_kind(name, "Mul", "Div"):
            return False
        return any(self.has_kind(i, "MatMul") for i in self.producers[name].inputs)

    def first_token(self, name: str) -> str:
        """Match the choice of the first token; return that of which it is chosen."""
        node = self.node(name, "Gather")
        if node.attributes.get("axis") != 1 or self.table(node.inputs[1]).tolist() != [0]:
            raise GraphMismatch(f"{name} is not the first token")
        return node.inputs[0]

    def rows(self, name: str) -> tuple[Table, Float32 | None, str]:
        """Match a lookup of rows; return the table, the scales of its rows, and the index."""
        if self.has_kind(name, "Gather"):
            table, index = self.node(name, "Gather").inputs
            return np.asarray(self.table(table), np.float32), None, index
        values, scales = self.node(name, "Mul").inputs
        table, index = self.node(self.node(values, "Cast").inputs[0], "Gather").inputs
        scale, same = self.node(scales, "Gather").inputs
        rows = self.table(table)
        if rows.dtype != np.int8 or index != same:
            raise GraphMismatch(f"{name} is not an int8 table with a scale for each row")
        return rows, np.asarray(self.table(scale), np.float32).reshape(-1), index

    # --- what follows the last layer ---------------------------------------------------

    def classifier(self) -> tuple[Classifier, str]:
        """Match the head of a cross-encoder; return it, and the states that it reads."""
        bent, weight, bias = self.gemm("logits")
        norm = None
        if self.has_kind(bent, "LayerNormalization"):
            bent, norm = self.norm(bent)
        node = self.node(bent, "Tanh", "Gelu", "Relu")
        if node.attributes.get("approximate", "none") != "none":
            raise GraphMismatch(f"{bent} is approximated")
        pooled, dense, dense_bias = self.gemm(node.inputs[0])
        activation = cast("Activation", node.kind)
        head = Classifier(dense, dense_bias, activation, weight, bias, norm)
        if self.has_kind(pooled, "Squeeze"):
            return head, self.node(pooled, "Squeeze").inputs[0]
        return replace(head, pooling="mean"), self.mean(pooled)

    def gemm(self, name: str) -> tuple[str, Float32, Float32]:
        """Match x W^T + b; return x, W and b."""
        node = self.node(name, "Gemm")
        attributes = [node.attributes.get(key, 1) for key in ("alpha", "beta", "transB")]
        if attributes != [1, 1, 1] or node.attributes.get("transA", 0):
            raise GraphMismatch(f"{name} is not x W^T + b")
        if len(node.inputs) not in (2, 3):
            raise GraphMismatch(f"{node.inputs} has not three inputs")
        weight = np.asarray(self.table(node.inputs[1]), np.float32)
        bias = np.zeros(len(weight), np.float32)
        if len(node.inputs) == 3:
            bias = np.asarray(self.table(node.inputs[2]), np.float32)
        return node.inputs[0], weight, bias

    def mean(self, name: str) -> str:
        """Match the mean over the tokens that are not masked; return their states."""
        summed, counted = self.node(name, "Div").inputs
        counted = self.skip(counted, "Cast", "Clip")
        sums = [self.node(value, "ReduceSum") for value in (summed, counted)]
        states, weights = self.node(sums[0].inputs[0], "Mul").inputs
        masks = [
            self.skip(value, "Cast", "Unsqueeze") for value in (weights, sums[1].inputs[0])
        ]
        axes = [self.integers(node.inputs[1]) for node in sums]
        if masks != ["attention_mask"] * 2 or axes != [[1], [1]]:
            raise GraphMismatch(f"{name} is not the mean over the tokens")
        return states

    def pooled(self) -> str:
        """Match mean pooling and normalization; return the pooled states."""
        outputs = self.graph.outputs
        mean, length = self.node(outputs[0], "Div").inputs
        norm = self.node(self.node(length, "Clip").inputs[0], "ReduceL2")
        if norm.inputs[0] != mean:
            raise GraphMismatch(f"{outputs[0]} is not of unit length")
        return self.mean(mean)


def scale_outputs(product: QuantizedLinear, factors: Float32 | None) -> QuantizedLinear:
    """Return a linear layer whose outputs are multiplied by these factors, or as they are."""
    if factors is None:
        return product
    if factors.shape != product.scale.shape:
        raise GraphMismatch(f"{factors.shape} factors scale {product.scale.shape} outputs")
    return replace(product, scale=product.scale * factors, bias=product.bias * factors)


def three(names: tuple[str, ...]) -> tuple[str, str, str]:
    """Return three inputs."""
    if len(names) != 3:
        raise GraphMismatch(f"{names} has not three inputs")
    return names[0], names[1], names[2]
