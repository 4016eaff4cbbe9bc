"""Find an encoder of BERT's shape in a graph, or say what is different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.native.onnx_file import Graph, Node, Table
from secondpass.inference.runtimes import Float32

Int8 = NDArray[np.int8]

LARGEST_WEIGHT = 63
"""Pairs of products are added in 16 bits without VNNI; see docs/explanation/quantization.md."""


class GraphMismatch(Exception):
    """The graph is not of the shape that is run here; the message says where it differs."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """An activation x becomes the integer round(x / scale) + zero, 0 to 255."""

    scale: float
    zero: int


@dataclass(frozen=True, slots=True)
class Product:
    """A linear layer: `weight` int8 [inputs, outputs]; `scale` and `bias` by column."""

    rounding: Rounding
    weight: Int8
    scale: Float32
    bias: Float32


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer normalisation; the factors named even are for what the next product reads."""

    weight: Float32
    bias: Float32
    even_weight: Float32
    even_bias: Float32
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; `even` are factors behind GELU, or None."""

    query: Product
    key: Product
    value: Product
    out: Product
    middle: Norm
    up: Product
    even: Float32 | None
    down: Product
    end: Norm


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Tables of words, places and types; `words` in int8 have a scale for each row.

    There is one type where the graph does not ask for any.
    """

    words: Int8 | Float32
    word_scales: Float32 | None
    places: Float32
    types: Float32


@dataclass(frozen=True, slots=True)
class Classifier:
    """What follows the first token: tanh(x W + b), and the logits of that."""

    pooler: Float32
    pooler_bias: Float32
    weight: Float32
    bias: Float32


@dataclass(frozen=True, slots=True)
class Encoder:
    """The whole graph: a cross-encoder with `classifier`, or an embedder without.

    `states` are the layers whose outputs an embedder gives side by side, counted from 1.
    """

    embeddings: Embeddings
    first: Norm
    layers: tuple[Layer, ...]
    heads: int
    score_scale: float
    classifier: Classifier | None
    states: tuple[int, ...]


def find_encoder(graph: Graph, tables: Mapping[str, Table]) -> Encoder:
    """Return the encoder that a graph is; `tables` are those that it does not hold.

    Raises `GraphMismatch` for any other graph: every operator between the inputs and the
    outputs is looked at, but for those that make the mask.
    """
    try:
        return _Finder(graph, {**graph.tables, **tables}).encoder()
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        # Tables of other sizes, or with zeros where something is divided by them.
        raise GraphMismatch(str(error)) from error


class _Finder:
    """Walks from the outputs towards the inputs."""

    def __init__(self, graph: Graph, tables: Mapping[str, Table]) -> None:
        self._graph = graph
        self._tables = tables
        self._made_by = {output: node for node in graph.nodes for output in node.outputs}
        known = {*graph.inputs, *tables, ""}
        for node in graph.nodes:
            if not known.issuperset(node.inputs):
                raise GraphMismatch("operators are not in order, or read what nobody makes")
            known.update(node.outputs)

    # --- steps -----------------------------------------------------------------------

    def node(self, name: str, *kinds: str) -> Node:
        found = self._made_by.get(name)
        if found is None or found.kind not in kinds:
            given = "a table or an input" if found is None else found.kind
            raise GraphMismatch(f"{name} is {given}, not {' or '.join(kinds)}")
        return found

    def table(self, name: str) -> Table:
        found = self._tables.get(name)
        if found is None:
            raise GraphMismatch(f"{name} is no table")
        return found

    def with_table(self, name: str, kind: str) -> tuple[str, Table]:
        """Return the other input of an operator, and the table that is one of the two."""
        a, b = self.node(name, kind).inputs
        return (a, self.table(b)) if b in self._tables else (b, self.table(a))

    # --- parts -----------------------------------------------------------------------

    def product(self, name: str) -> tuple[str, Product]:
        """Return what a linear layer reads, before it is rounded, and the layer."""
        read, bias = self.with_table(name, "Add")
        inputs, weights = self.node(read, "MatMul").inputs
        weight, scale, zero = map(
            self.table, _three(self.node(weights, "DequantizeLinear").inputs)
        )
        if weight.dtype != np.int8 or weight.ndim != 2 or np.any(zero):
            raise GraphMismatch(f"{read} has weights of another kind")
        if weight.min() < -LARGEST_WEIGHT or weight.max() > LARGEST_WEIGHT:
            raise GraphMismatch(f"{read} has weights of 8 bits")
        rounded, *said = _three(self.node(inputs, "DequantizeLinear").inputs)
        source, *same = _three(self.node(rounded, "QuantizeLinear").inputs)
        step, none = map(self.table, said)
        if said != same or none.dtype != np.uint8 or step.size != 1 or none.size != 1:
            raise GraphMismatch(f"{inputs} is rounded otherwise")
        if not float(step) > 0:
            raise GraphMismatch(f"{inputs} is rounded to steps of {float(step)}")
        columns = weight.shape[1]
        return source, Product(
            Rounding(float(step), int(none)),
            weight,
            np.ascontiguousarray(np.broadcast_to(scale, columns), np.float32),
            np.ascontiguousarray(np.broadcast_to(bias, columns), np.float32),
        )

    def norm(self, name: str, rounded: str | None) -> tuple[str, Norm]:
        """Return what a normalisation reads, and both sets of its factors.

        `rounded` is the same normalisation with the factors for the next product.
        """
        node = self.node(name, "LayerNormalization")
        source, weight, bias = _three(node.inputs)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        even = [weight, bias]
        if rounded is not None and rounded != name:
            other = self.node(rounded, "LayerNormalization")
            if other.inputs[0] != source or other.attributes.get(
                "epsilon"
            ) != node.attributes.get("epsilon"):
                raise GraphMismatch(f"{rounded} normalises something else than {name}")
            even = list(other.inputs[1:])
        a, b, c, d = (np.asarray(self.table(n), np.float32) for n in (weight, bias, *even))
        return source, Norm(a, b, c, d, epsilon)

    def heads_of(self, name: str, order: tuple[int, ...]) -> tuple[str, int]:
        """Return what is dealt to heads, and the length of a head."""
        node = self.node(name, "Transpose")
        if node.attributes.get("perm") != order:
            raise GraphMismatch(f"{name} is transposed otherwise")
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
            states = self.kept()
        layers: list[Layer] = []
        outputs: list[str] = []
        heads, scales, rounded = set(), set(), None
        while self.is_layer(end):
            outputs.insert(0, end)
            few = classifier is not None and not layers
            layer, end, rounded, head, scale = self.layer(end, rounded, first_only=few)
            layers.insert(0, layer)
            heads.add(layer.query.weight.shape[1] / head)
            scales.add(scale)
        if len(scales) != 1 or len(heads) != 1 or not set(states) <= set(outputs):
            raise GraphMismatch(
                "its layers differ in their heads, or its outputs are of others"
            )
        added, first = self.norm(end, rounded)
        return Encoder(
            self.embeddings(added),
            first,
            tuple(layers),
            int(heads.pop()),
            scales.pop(),
            classifier,
            tuple(1 + outputs.index(state) for state in states),
        )

    def is_layer(self, name: str) -> bool:
        """Return whether this is the output of a layer, and not of the embeddings."""
        added = self.node(name, "LayerNormalization").inputs[0]
        return any(self._linear(term) for term in self.node(added, "Add").inputs)

    def layer(
        self, name: str, rounded: str | None, *, first_only: bool
    ) -> tuple[Layer, str, str, int, float]:
        """Return a layer by its output; what it reads, also rounded; a head's length; scale."""
        source, end = self.norm(name, rounded)
        (gelu, down), middle_name = self.sum(source)
        even = None
        if self._is(gelu, "Mul"):
            gelu, factors = self.with_table(gelu, "Mul")
            even = np.asarray(factors, np.float32)
        node = self.node(gelu, "Gelu")
        if node.attributes.get("approximate", "none") != "none":
            raise GraphMismatch(f"{gelu} is an approximation")
        middle_rounded, up = self.product(node.inputs[0])
        source, middle = self.norm(middle_name, middle_rounded)
        (context, out), before = self.sum(source)
        if first_only:
            context, before = self.first_token(context), self.first_token(before)
        (query, key, value), read, head, scale = self.attention(context)
        found = Layer(query, key, value, out, middle, up, even, down, end)
        return found, before, read, head, scale

    def sum(self, name: str) -> tuple[tuple[str, Product], str]:
        """Return a linear layer's input and the layer, and what is added to it."""
        a, b = self.node(name, "Add").inputs
        if not self._linear(a):
            a, b = b, a
        return self.product(a), b

    def attention(self, name: str) -> tuple[tuple[Product, Product, Product], str, int, float]:
        joined = self.node(self.node(name, "Reshape").inputs[0], "Transpose")
        if joined.attributes.get("perm") != (0, 2, 1, 3):
            raise GraphMismatch(f"{name} is joined otherwise")
        weights, values = self.node(joined.inputs[0], "MatMul").inputs
        softmax = self.node(weights, "Softmax")
        if softmax.attributes.get("axis", -1) not in (-1, 3):
            raise GraphMismatch(f"{weights} is summed over something else")
        a, b = self.node(softmax.inputs[0], "Add").inputs
        scaled, mask = (a, b) if self._is_scaled(a) else (b, a)
        if self.inputs_of(mask) != {"attention_mask"}:
            raise GraphMismatch(f"{mask} masks by more than attention_mask")
        kind = self.node(scaled, "Mul", "Div").kind
        multiplied, factor = self.with_table(scaled, kind)
        scale = float(factor.reshape(())) if kind == "Mul" else 1 / float(factor.reshape(()))
        queries, keys = self.node(multiplied, "MatMul").inputs
        found, read = [], set()
        for side, order in (
            (queries, (0, 2, 1, 3)),
            (keys, (0, 2, 3, 1)),
            (values, (0, 2, 1, 3)),
        ):
            linear, head = self.heads_of(side, order)
            source, product = self.product(linear)
            found.append((product, head))
            read.add(source)
        if len(read) != 1 or len({p.rounding for p, _ in found}) != 1:
            raise GraphMismatch("queries, keys and values are of different inputs")
        (query, head), (key, other), (value, third) = found
        if not head == other == third:
            raise GraphMismatch("queries, keys and values have heads of different lengths")
        return (query, key, value), read.pop(), head, scale

    def embeddings(self, name: str) -> Embeddings:
        a, b = self.node(name, "Add").inputs
        rest, last = (a, b) if self._is(a, "Add") else (b, a)
        places, place_scales, index = self.rows(last)
        a, b = self.node(rest, "Add").inputs
        words, word_scales, ids = self.rows(a)
        types, type_scales, chosen = self.rows(b)
        if not self.counts_up(index):
            raise GraphMismatch("places do not count from 0")
        if ids != "input_ids" or not (chosen == "token_type_ids" or self.is_zero(chosen)):
            raise GraphMismatch("words or types are looked up by something else")
        kinds = _dequantised(types, type_scales)
        return Embeddings(
            words,
            word_scales,
            _dequantised(places, place_scales),
            kinds if chosen == "token_type_ids" else kinds[:1],
        )

    def rows(self, name: str) -> tuple[Table, Float32 | None, str]:
        """Return a table that rows are taken from, their scales, and the index."""
        if self._is(name, "Gather"):
            table, index = self.node(name, "Gather").inputs
            return np.asarray(self.table(table), np.float32), None, index
        values, scales = self.node(name, "Mul").inputs
        table, index = self.node(self.node(values, "Cast").inputs[0], "Gather").inputs
        scale, same = self.node(scales, "Gather").inputs
        found = self.table(table)
        if found.dtype != np.int8 or index != same:
            raise GraphMismatch(f"{name} is no table of bytes")
        return found, np.asarray(self.table(scale), np.float32).reshape(-1), index

    def counts_up(self, name: str) -> bool:
        table = self.table(self.node(name, "Slice").inputs[0]).reshape(-1)
        return bool(np.array_equal(table, np.arange(len(table))))

    def is_zero(self, name: str) -> bool:
        """Return whether an index is made of zeros, whatever picks them."""
        node = self._made_by.get(name)
        if node is None or node.kind not in ("Expand", "GatherElements", "Slice"):
            found = self._tables.get(name)
            return found is not None and not np.any(found)
        return self.is_zero(node.inputs[0])

    def classifier(self) -> tuple[Classifier, str]:
        tanh, weight, bias = self.gemm("logits")
        first, pooler, pooler_bias = self.gemm(self.node(tanh, "Tanh").inputs[0])
        found = Classifier(pooler, pooler_bias, weight, bias)
        return found, self.node(first, "Squeeze").inputs[0]

    def gemm(self, name: str) -> tuple[str, Float32, Float32]:
        node = self.node(name, "Gemm")
        source, weight, bias = _three(node.inputs)
        said = [node.attributes.get(key, 1) for key in ("alpha", "beta", "transB")]
        if said != [1, 1, 1] or node.attributes.get("transA", 0):
            raise GraphMismatch(f"{name} is a product of another kind")
        a, b = (np.asarray(self.table(n), np.float32) for n in (weight, bias))
        return source, a, b

    def pooled(self) -> str:
        """Return the states whose mean is the embedding."""
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
            raise GraphMismatch(f"{outputs[0]} is no mean over the tokens")
        return states

    def kept(self) -> tuple[str, ...]:
        outputs = self._graph.outputs
        if len(outputs) == 1:
            return ()
        if outputs[1:] != ("states",):
            raise GraphMismatch(f"it has outputs {', '.join(outputs)}")
        node = self.node("states", "Concat")
        if node.attributes.get("axis") not in (-1, 2):
            raise GraphMismatch("states are not side by side")
        return node.inputs

    def inputs_of(self, name: str) -> set[str]:
        """Return the graph's inputs that a value depends on."""
        found, seen, left = set(), set(), [name]
        while left:
            one = left.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in self._graph.inputs:
                found.add(one)
            elif one in self._made_by and self._made_by[one].kind != "Shape":
                left += self._made_by[one].inputs
        return found

    def _is(self, name: str, kind: str) -> bool:
        return name in self._made_by and self._made_by[name].kind == kind

    def _is_scaled(self, name: str) -> bool:
        if name not in self._made_by or self._made_by[name].kind not in ("Mul", "Div"):
            return False
        return any(self._is(i, "MatMul") for i in self._made_by[name].inputs)

    def _linear(self, name: str) -> bool:
        return self._is(name, "Add") and any(
            self._is(i, "MatMul") for i in self._made_by[name].inputs
        )


def _dequantised(table: Table, scales: Float32 | None) -> Float32:
    whole = np.asarray(table, np.float32)
    return whole if scales is None else whole * scales[:, None]


def _three(names: tuple[str, ...]) -> tuple[str, str, str]:
    if len(names) != 3:
        raise GraphMismatch(f"{names} are not three inputs")
    return names[0], names[1], names[2]
