"""Graph matching: find a quantized BERT encoder in an ONNX graph, or say what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.native.onnx_file import Graph, Node, Table
from secondpass.inference.types import Float32

Int8 = NDArray[np.int8]

MAX_WEIGHT = 63
"""Pairs of products are added in 16 bits without VNNI; see docs/explanation/quantization.md."""


class GraphMismatch(Exception):
    """The graph has another architecture; the message says where it differs."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """An activation x becomes the integer round(x / scale) + zero, 0 to 255."""

    scale: float
    zero: int


@dataclass(frozen=True, slots=True)
class QuantizedLinear:
    """A linear layer: `weight` int8 [inputs, outputs]; `scale` and `bias` by output.

    `input` is how its input is quantized.
    """

    input: Quantization
    weight: Int8
    scale: Float32
    bias: Float32


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """A layer normalization.

    `next_weight` and `next_bias` give the output that the next linear layer reads, which
    SmoothQuant scales; they are `weight` and `bias` where it does not.
    """

    weight: Float32
    bias: Float32
    next_weight: Float32
    next_bias: Float32
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer; `gelu_scale` multiplies the output of GELU, or is None."""

    query: QuantizedLinear
    key: QuantizedLinear
    value: QuantizedLinear
    attention_output: QuantizedLinear
    attention_norm: LayerNorm
    up: QuantizedLinear
    gelu_scale: Float32 | None
    down: QuantizedLinear
    output_norm: LayerNorm


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """Embeddings of words, positions and token types; int8 `words` have a scale for each row.

    There is one token type if the graph has no input for them.
    """

    words: Int8 | Float32
    word_scales: Float32 | None
    positions: Float32
    token_types: Float32


@dataclass(frozen=True, slots=True)
class Classifier:
    """The head of a cross-encoder: tanh(x W + b) of the first token, and logits of that."""

    pooler: Float32
    pooler_bias: Float32
    weight: Float32
    bias: Float32


@dataclass(frozen=True, slots=True)
class Encoder:
    """The whole graph: a cross-encoder with `classifier`, or an embedder without.

    `states` are the layers whose outputs an embedder returns as states, counted from 1.
    """

    embeddings: EmbeddingTables
    embedding_norm: LayerNorm
    layers: tuple[Layer, ...]
    heads: int
    score_scale: float
    classifier: Classifier | None
    states: tuple[int, ...]


def find_encoder(graph: Graph, tables: Mapping[str, Table]) -> Encoder:
    """Match a graph against the encoder architecture; `tables` are its external tables.

    Raises `GraphMismatch` for any other graph: every operator between the inputs and the
    outputs is checked, except those that compute the attention mask.
    """
    try:
        return _Matcher(graph, {**graph.tables, **tables}).encoder()
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        # Tables of other shapes, or a division by zero.
        raise GraphMismatch(str(error)) from error


class _Matcher:
    """Walks a graph from the outputs to the inputs, matching one part after the other."""

    def __init__(self, graph: Graph, tables: Mapping[str, Table]) -> None:
        self._graph = graph
        self._tables = tables
        self._producers = {output: node for node in graph.nodes for output in node.outputs}
        known = {*graph.inputs, *tables, ""}
        for node in graph.nodes:
            if not known.issuperset(node.inputs):
                raise GraphMismatch("operators are not in order, or have an undefined input")
            known.update(node.outputs)

    # --- operators -----------------------------------------------------------------------

    def node(self, name: str, *kinds: str) -> Node:
        node = self._producers.get(name)
        if node is None or node.kind not in kinds:
            actual = "a table or an input" if node is None else node.kind
            raise GraphMismatch(f"{name} is {actual}, not {' or '.join(kinds)}")
        return node

    def table(self, name: str) -> Table:
        table = self._tables.get(name)
        if table is None:
            raise GraphMismatch(f"{name} is not a table")
        return table

    def node_with_table(self, name: str, kind: str) -> tuple[str, Table]:
        """Match an operator with a table as one of two inputs; return the other, and it."""
        a, b = self.node(name, kind).inputs
        return (a, self.table(b)) if b in self._tables else (b, self.table(a))

    # --- parts -----------------------------------------------------------------------

    def linear(self, name: str) -> tuple[str, QuantizedLinear]:
        """Match a linear layer; return its input, before quantization, and the layer."""
        product, bias = self.node_with_table(name, "Add")
        inputs, weights = self.node(product, "MatMul").inputs
        weight, scale, zero = map(
            self.table, _three(self.node(weights, "DequantizeLinear").inputs)
        )
        if weight.dtype != np.int8 or weight.ndim != 2 or np.any(zero):
            raise GraphMismatch(f"{product} has weights that are not symmetric int8")
        if weight.min() < -MAX_WEIGHT or weight.max() > MAX_WEIGHT:
            raise GraphMismatch(f"{product} has weights beyond {MAX_WEIGHT}")
        quantized, *parameters = _three(self.node(inputs, "DequantizeLinear").inputs)
        source, *same = _three(self.node(quantized, "QuantizeLinear").inputs)
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

    def norm(self, name: str, next_input: str | None) -> tuple[str, LayerNorm]:
        """Match a layer normalization; return its input and both sets of its factors.

        `next_input` is the same normalization with the factors for the next linear layer.
        """
        node = self.node(name, "LayerNormalization")
        source, weight, bias = _three(node.inputs)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        next_factors = [weight, bias]
        if next_input is not None and next_input != name:
            other = self.node(next_input, "LayerNormalization")
            if other.inputs[0] != source or other.attributes.get(
                "epsilon"
            ) != node.attributes.get("epsilon"):
                raise GraphMismatch(f"{next_input} and {name} normalize different inputs")
            next_factors = list(other.inputs[1:])
        names = (weight, bias, *next_factors)
        a, b, c, d = (np.asarray(self.table(n), np.float32) for n in names)
        return source, LayerNorm(a, b, c, d, epsilon)

    def split_heads(self, name: str, order: tuple[int, ...]) -> tuple[str, int]:
        """Match a reshape and transpose into heads; return the input and a head's length."""
        node = self.node(name, "Transpose")
        if node.attributes.get("perm") != order:
            raise GraphMismatch(f"{name} is not transposed by {order}")
        source, shape = self.node(node.inputs[0], "Reshape").inputs
        length = self.table(self.node(shape, "Concat").inputs[-1])
        return source, int(length.reshape(-1)[0])

    def first_token(self, name: str) -> str:
        node = self.node(name, "Gather")
        if node.attributes.get("axis") != 1 or self.table(node.inputs[1]).tolist() != [0]:
            raise GraphMismatch(f"{name} is not the first token")
        return node.inputs[0]

    # --- the whole -------------------------------------------------------------------

    def encoder(self) -> Encoder:
        if self._graph.outputs == ("logits",):
            classifier, end = self.classifier()
            states: tuple[str, ...] = ()
        else:
            classifier, end = None, self.pooled()
            states = self.state_outputs()
        layers: list[Layer] = []
        outputs: list[str] = []
        heads, scales, next_input = set(), set(), None
        while self.is_layer(end):
            outputs.insert(0, end)
            first_only = classifier is not None and not layers
            layer, end, next_input, head, scale = self.layer(
                end, next_input, first_only=first_only
            )
            layers.insert(0, layer)
            heads.add(layer.query.weight.shape[1] / head)
            scales.add(scale)
        if len(scales) != 1 or len(heads) != 1 or not set(states) <= set(outputs):
            raise GraphMismatch(
                "the layers have different heads, or the states are not outputs of layers"
            )
        added, embedding_norm = self.norm(end, next_input)
        return Encoder(
            self.embeddings(added),
            embedding_norm,
            tuple(layers),
            int(heads.pop()),
            scales.pop(),
            classifier,
            tuple(1 + outputs.index(state) for state in states),
        )

    def is_layer(self, name: str) -> bool:
        """Return whether this is the output of a layer, not of the embeddings."""
        added = self.node(name, "LayerNormalization").inputs[0]
        return any(self._is_linear(term) for term in self.node(added, "Add").inputs)

    def layer(
        self, name: str, next_input: str | None, *, first_only: bool
    ) -> tuple[Layer, str, str, int, float]:
        """Match the layer with this output.

        Return it, its residual and its attention input, a head's length and the score scale.
        """
        source, output_norm = self.norm(name, next_input)
        (gelu, down), middle = self.residual(source)
        gelu_scale = None
        if self._is(gelu, "Mul"):
            gelu, factors = self.node_with_table(gelu, "Mul")
            gelu_scale = np.asarray(factors, np.float32)
        node = self.node(gelu, "Gelu")
        if node.attributes.get("approximate", "none") != "none":
            raise GraphMismatch(f"{gelu} is approximated")
        up_input, up = self.linear(node.inputs[0])
        source, attention_norm = self.norm(middle, up_input)
        (context, attention_output), before = self.residual(source)
        if first_only:
            context, before = self.first_token(context), self.first_token(before)
        (query, key, value), attention_input, head, scale = self.attention(context)
        layer = Layer(
            query,
            key,
            value,
            attention_output,
            attention_norm,
            up,
            gelu_scale,
            down,
            output_norm,
        )
        return layer, before, attention_input, head, scale

    def residual(self, name: str) -> tuple[tuple[str, QuantizedLinear], str]:
        """Match a residual sum; return the linear layer with its input, and the other term."""
        a, b = self.node(name, "Add").inputs
        if not self._is_linear(a):
            a, b = b, a
        return self.linear(a), b

    def attention(
        self, name: str
    ) -> tuple[tuple[QuantizedLinear, QuantizedLinear, QuantizedLinear], str, int, float]:
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
        projections, inputs = [], set()
        for side, order in (
            (queries, (0, 2, 1, 3)),
            (keys, (0, 2, 3, 1)),
            (values, (0, 2, 1, 3)),
        ):
            projected, head = self.split_heads(side, order)
            source, projection = self.linear(projected)
            projections.append((projection, head))
            inputs.add(source)
        if len(inputs) != 1 or len({p.input for p, _ in projections}) != 1:
            raise GraphMismatch("queries, keys and values have different inputs")
        (query, head), (key, key_head), (value, value_head) = projections
        if not head == key_head == value_head:
            raise GraphMismatch("queries, keys and values have heads of different lengths")
        return (query, key, value), inputs.pop(), head, scale

    def embeddings(self, name: str) -> EmbeddingTables:
        a, b = self.node(name, "Add").inputs
        rest, last = (a, b) if self._is(a, "Add") else (b, a)
        positions, position_scales, index = self.rows(last)
        a, b = self.node(rest, "Add").inputs
        words, word_scales, ids = self.rows(a)
        types, type_scales, type_ids = self.rows(b)
        if not self.counts_up(index):
            raise GraphMismatch("positions do not count from 0")
        if ids != "input_ids" or not (type_ids == "token_type_ids" or self.is_zero(type_ids)):
            raise GraphMismatch("words or token types are not looked up by the inputs")
        token_types = _dequantize(types, type_scales)
        return EmbeddingTables(
            words,
            word_scales,
            _dequantize(positions, position_scales),
            token_types if type_ids == "token_type_ids" else token_types[:1],
        )

    def rows(self, name: str) -> tuple[Table, Float32 | None, str]:
        """Match a lookup of rows; return the table, the scales of its rows, and the index."""
        if self._is(name, "Gather"):
            table, index = self.node(name, "Gather").inputs
            return np.asarray(self.table(table), np.float32), None, index
        values, scales = self.node(name, "Mul").inputs
        table, index = self.node(self.node(values, "Cast").inputs[0], "Gather").inputs
        scale, same = self.node(scales, "Gather").inputs
        rows = self.table(table)
        if rows.dtype != np.int8 or index != same:
            raise GraphMismatch(f"{name} is not an int8 table with a scale for each row")
        return rows, np.asarray(self.table(scale), np.float32).reshape(-1), index

    def counts_up(self, name: str) -> bool:
        table = self.table(self.node(name, "Slice").inputs[0]).reshape(-1)
        return bool(np.array_equal(table, np.arange(len(table))))

    def is_zero(self, name: str) -> bool:
        """Return whether an index is all zeros, after any expansion, gather or slice."""
        node = self._producers.get(name)
        if node is None or node.kind not in ("Expand", "GatherElements", "Slice"):
            table = self._tables.get(name)
            return table is not None and not np.any(table)
        return self.is_zero(node.inputs[0])

    def classifier(self) -> tuple[Classifier, str]:
        tanh, weight, bias = self.gemm("logits")
        first, pooler, pooler_bias = self.gemm(self.node(tanh, "Tanh").inputs[0])
        classifier = Classifier(pooler, pooler_bias, weight, bias)
        return classifier, self.node(first, "Squeeze").inputs[0]

    def gemm(self, name: str) -> tuple[str, Float32, Float32]:
        node = self.node(name, "Gemm")
        source, weight, bias = _three(node.inputs)
        attributes = [node.attributes.get(key, 1) for key in ("alpha", "beta", "transB")]
        if attributes != [1, 1, 1] or node.attributes.get("transA", 0):
            raise GraphMismatch(f"{name} is not x W^T + b")
        a, b = (np.asarray(self.table(n), np.float32) for n in (weight, bias))
        return source, a, b

    def pooled(self) -> str:
        """Match mean pooling and normalization; return the pooled states."""
        outputs = self._graph.outputs
        mean, length = self.node(outputs[0], "Div").inputs
        norm = self.node(self.node(length, "Clip").inputs[0], "ReduceL2")
        summed, counted = self.node(mean, "Div").inputs
        added = self.node(self.node(counted, "Clip").inputs[0], "ReduceSum").inputs[0]
        states, mask = self.node(self.node(summed, "ReduceSum").inputs[0], "Mul").inputs
        if (
            norm.inputs[0] != mean
            or mask != added
            or self.inputs_of(mask) != {"attention_mask"}
        ):
            raise GraphMismatch(f"{outputs[0]} is not the mean over the tokens")
        return states

    def state_outputs(self) -> tuple[str, ...]:
        outputs = self._graph.outputs
        if len(outputs) == 1:
            return ()
        if outputs[1:] != ("states",):
            raise GraphMismatch(f"it has outputs {', '.join(outputs)}")
        node = self.node("states", "Concat")
        if node.attributes.get("axis") not in (-1, 2):
            raise GraphMismatch("states are not concatenated on the last axis")
        return node.inputs

    def inputs_of(self, name: str) -> set[str]:
        """Return the graph's inputs that a value depends on."""
        inputs, visited, stack = set(), set(), [name]
        while stack:
            value = stack.pop()
            if value in visited:
                continue
            visited.add(value)
            if value in self._graph.inputs:
                inputs.add(value)
            elif value in self._producers and self._producers[value].kind != "Shape":
                stack += self._producers[value].inputs
        return inputs

    def _is(self, name: str, kind: str) -> bool:
        return name in self._producers and self._producers[name].kind == kind

    def _is_scaled(self, name: str) -> bool:
        if name not in self._producers or self._producers[name].kind not in ("Mul", "Div"):
            return False
        return any(self._is(i, "MatMul") for i in self._producers[name].inputs)

    def _is_linear(self, name: str) -> bool:
        return self._is(name, "Add") and any(
            self._is(i, "MatMul") for i in self._producers[name].inputs
        )


def _dequantize(table: Table, scales: Float32 | None) -> Float32:
    values = np.asarray(table, np.float32)
    return values if scales is None else values * scales[:, None]


def _three(names: tuple[str, ...]) -> tuple[str, str, str]:
    if len(names) != 3:
        raise GraphMismatch(f"{names} has not three inputs")
    return names[0], names[1], names[2]
