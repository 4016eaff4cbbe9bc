"""Graph matching for ModernBERT: rotary positions, gated GELU, alternating local attention."""

from __future__ import annotations

import numpy as np

from secondpass.inference.native.encoder import (
    EmbeddingTables,
    Encoder,
    GraphMismatch,
    Layer,
    LayerNorm,
    QuantizedLinear,
)
from secondpass.inference.native.graph_matcher import GraphMatcher, scale_outputs
from secondpass.inference.native.onnx_file import Table
from secondpass.inference.types import Float32

_MASK_OPERATORS = frozenset(
    (
        *("Abs", "And", "Cast", "Concat", "Expand", "GatherND", "GreaterOrEqual"),
        *("LessOrEqual", "Max", "Not", "Range", "Shape", "Squeeze", "Sub", "Transpose"),
        *("Unsqueeze", "Where"),
    )
)


class ModernBertMatcher(GraphMatcher):
    """Finds an encoder with normalization before each half of a layer.

    ModernBERT (Warner et al., 2024, https://arxiv.org/abs/2412.13663).
    """

    def encoder(self) -> Encoder:
        """Match the whole graph."""
        classifier = None
        if self.graph.outputs == ("logits",):
            classifier, name = self.classifier()
        elif len(self.graph.outputs) == 1:
            name = self.pooled()
        else:
            raise GraphMismatch("states of layers are not supported")
        end, norm = self.norm(name)
        layers: list[Layer] = []
        scales, heads = set(), set()
        first_only = classifier is not None and classifier.pooling == "first"
        while True:
            layer, end, attention_input, head, scale = self.layer(
                end, norm, first_only=first_only and not layers
            )
            layers.insert(0, layer)
            scales.add(scale)
            heads.add(layer.query.weight.shape[1] / head)
            if self.has_kind(end, "LayerNormalization"):
                break
            source, norm = self.norm(attention_input)
            if source != end:
                raise GraphMismatch(f"{attention_input} does not normalize {end}")
        if len(scales) != 1 or len(heads) != 1:
            raise GraphMismatch("the layers have different heads")
        # The first layer reads what the embeddings' normalization gives.
        embedded, embedding_norm = self.norm(end, attention_input)
        words, word_scales, ids = self.rows(embedded)
        if ids != "input_ids":
            raise GraphMismatch("words are not looked up by the inputs")
        return Encoder(
            EmbeddingTables(words, word_scales, None, None),
            embedding_norm,
            tuple(layers),
            int(heads.pop()),
            scales.pop(),
            classifier,
            (),
            pre_norm=True,
        )

    def layer(
        self, name: str, output_norm: LayerNorm, *, first_only: bool
    ) -> tuple[Layer, str, str, int, float]:
        """Match the layer whose residual sum this is.

        Return it, its residual and its attention input, a head's length and the score scale.
        """
        (product, down), middle = self.residual(name, first_only=first_only)
        product, gelu_scale = self.scaled(product)
        a, b = self.node(product, "Mul").inputs
        gelu, gate_name = (a, b) if self.has_kind(a, "Gelu") else (b, a)
        node = self.node(gelu, "Gelu")
        if node.attributes.get("approximate", "none") != "none":
            raise GraphMismatch(f"{gelu} is approximated")
        up_name = self.of_all_tokens(node.inputs[0], first_only=first_only)
        split = self.node(up_name, "Split")
        gate_name = self.of_all_tokens(gate_name, first_only=first_only)
        if split.outputs != (up_name, gate_name) or split.attributes.get("axis") not in (-1, 2):
            raise GraphMismatch(f"{name} is not gated by the other half of a product")
        up_input, both = self.linear(split.inputs[0])
        if both.weight.shape[1] % 2 or len(split.inputs) != 1:
            raise GraphMismatch(f"{split.inputs[0]} is not split into halves")
        up, gate = _columns(both, 2)
        source, attention_norm = self.norm(up_input)
        if source != middle:
            raise GraphMismatch(f"{up_input} does not normalize {middle}")
        (context, attention_output), before = self.residual(middle, first_only=False)
        context, factors = self.scaled(context)
        (query, key, value), attention_input, rotary, window, head, scale = self.attention(
            context
        )
        layer = Layer(
            query,
            key,
            # Factors of the context are factors of the values that it is a mean of.
            scale_outputs(value, factors),
            attention_output,
            attention_norm,
            up,
            gelu_scale,
            down,
            output_norm,
            gate,
            window,
            rotary,
        )
        return layer, before, attention_input, head, scale

    def of_all_tokens(self, name: str, *, first_only: bool) -> str:
        """Return the value from which the first token is taken, where it is."""
        if first_only and self.has_kind(name, "Gather"):
            return self.first_token(name)
        return name

    def residual(
        self, name: str, *, first_only: bool
    ) -> tuple[tuple[str, QuantizedLinear], str]:
        """Match a residual sum; return the linear layer with its input, and the other term."""
        a, b = self.node(name, "Add").inputs
        if not self.is_linear(a):
            a, b = b, a
        return self.linear(a), self.of_all_tokens(b, first_only=first_only)

    def attention(
        self, name: str
    ) -> tuple[
        tuple[QuantizedLinear, QuantizedLinear, QuantizedLinear],
        str,
        Float32,
        int | None,
        int,
        float,
    ]:
        """Match attention with rotary positions.

        Return the projections and their input, the inverse frequencies, the window, a head's
        length and the score scale.
        """
        queries, keys, values, mask, scale = self.scores(name)
        transposed = self.node(keys, "Transpose")
        if transposed.attributes.get("perm") != (0, 1, 3, 2):
            raise GraphMismatch(f"{keys} is not transposed by (0, 1, 3, 2)")
        query, frequencies = self.rotated(queries)
        key, same = self.rotated(transposed.inputs[0])
        if not np.array_equal(frequencies, same):
            raise GraphMismatch(f"{name} turns queries and keys by different angles")
        parts = [self.part(side) for side in (query, key, values)]
        if [number for _, number in parts] != [0, 1, 2] or len(
            {view for view, _ in parts}
        ) != 1:
            raise GraphMismatch(f"{name} does not read queries, keys and values of one product")
        product, shape = self.node(parts[0][0], "Reshape").inputs
        *_, three, _, last = self.node(shape, "Concat").inputs
        (head,) = self.integers(last)
        if self.integers(three) != [3] or len(frequencies) * 2 != head:
            raise GraphMismatch(f"{product} is not split into three times heads of {head}")
        source, projection = self.linear(product)
        a, b, c = _columns(projection, 3)
        return (a, b, c), source, frequencies, self.window(mask), head, scale

    def rotated(self, name: str) -> tuple[str, Float32]:
        """Match x cos + rotate_half(x) sin; return x and the inverse frequencies."""
        first, second = self.node(name, "Add").inputs
        x, cosine = self.node(first, "Mul").inputs
        turned, sine = self.node(second, "Mul").inputs
        negative, low = self.node(turned, "Concat").inputs
        high = self.node(negative, "Neg").inputs[0]
        half = self.halves(low, high, x)
        found, same = self.frequencies(cosine, "Cos"), self.frequencies(sine, "Sin")
        if not np.array_equal(found, same) or len(found) != half:
            raise GraphMismatch(f"{name} has other sines than cosines")
        return x, found

    def halves(self, low: str, high: str, whole: str) -> int:
        """Match the two halves of heads; return the length of the first."""
        ends = []
        for name in (low, high):
            node = self.node(name, "Slice")
            source, start, end, axis, *step = node.inputs
            if (
                source != whole
                or self.integers(axis) not in ([3], [-1])
                or (step and self.integers(step[0]) != [1])
            ):
                raise GraphMismatch(f"{name} is not a half of each head")
            ends.append((*self.integers(start), *self.integers(end)))
        (first, half), (second, last) = ends
        if first != 0 or second != half or last < 2 * half:
            raise GraphMismatch(f"{low} and {high} are not the halves of a head")
        return half

    def frequencies(self, name: str, kind: str) -> Float32:
        """Match the cosines or sines of positions that count from 0."""
        angles = self.node(self.node(name, "Unsqueeze").inputs[0], kind).inputs[0]
        once, again = self.node(angles, "Concat").inputs
        positions, table = self.angles(once)
        while self.has_kind(positions, "Cast", "Unsqueeze"):
            positions = self.producers[positions].inputs[0]
        start, _, step = self.node(positions, "Range").inputs
        if once != again or self.integers(start) != [0] or self.integers(step) != [1]:
            raise GraphMismatch(f"{name} has positions that do not count from 0")
        return np.asarray(table, np.float32).reshape(-1)

    def angles(self, name: str) -> tuple[str, Table]:
        """Match positions times frequencies; return both.

        transformers 4 writes them as a matrix product of one term, and transposes it.
        """
        if not self.has_kind(name, "Transpose"):
            return self.node_with_table(name, "Mul")
        transposed = self.node(name, "Transpose")
        column, positions = self.node(transposed.inputs[0], "MatMul").inputs
        table = self.table(column)
        if transposed.attributes.get("perm") != (0, 2, 1) or table.shape != (1, table.size, 1):
            raise GraphMismatch(f"{name} is not the product of positions and frequencies")
        return positions, table

    def part(self, name: str) -> tuple[str, int]:
        """Match heads of queries, keys or values; return the whole, and which part it is.

        A part is taken from the whole and transposed, or, by transformers 4, from the whole
        transposed.
        """
        first = self.has_kind(name, "Transpose")
        if first:
            node = self.node(name, "Transpose")
            if node.attributes.get("perm") != (0, 2, 1, 3):
                raise GraphMismatch(f"{name} is not transposed by (0, 2, 1, 3)")
            name = node.inputs[0]
        whole, start, end, axis, *_ = self.node(
            self.node(name, "Squeeze").inputs[0], "Slice"
        ).inputs
        (number,), (after,) = self.integers(start), self.integers(end)
        if self.integers(axis) not in ([2], [-3]) or after != number + 1:
            raise GraphMismatch(f"{name} is not one of three parts")
        if first:
            return whole, number
        node = self.node(whole, "Transpose")
        if node.attributes.get("perm") != (0, 3, 2, 1, 4):
            raise GraphMismatch(f"{whole} is not transposed by (0, 3, 2, 1, 4)")
        return node.inputs[0], number

    def window(self, mask: str) -> int | None:
        """Match a mask; return how many tokens on each side it lets a token see, or None."""
        self.node(mask, "Where")
        nodes = self.ancestors(mask)
        unknown = {node.kind for node in nodes} - _MASK_OPERATORS
        if unknown:
            raise GraphMismatch(f"{mask} is computed with {', '.join(sorted(unknown))}")
        limits = [node for node in nodes if node.kind == "LessOrEqual"]
        if not limits:
            return None
        if len(limits) != 1 or sum(node.kind == "Abs" for node in nodes) != 1:
            raise GraphMismatch(f"{mask} is not a window")
        distance, limit = limits[0].inputs
        self.node(self.node(distance, "Abs").inputs[0], "Sub")
        for node in nodes:
            # Any other difference is of the mask of padding.
            if node.kind == "Sub" and (
                (node in self.ancestors(distance))
                == ("attention_mask" in self.inputs_of(node.outputs[0]))
            ):
                raise GraphMismatch(f"{mask} is not a window")
        (tokens,) = self.integers(limit)
        if tokens < 0:
            raise GraphMismatch(f"{mask} is a window of {tokens} tokens")
        return tokens


def _columns(product: QuantizedLinear, parts: int) -> tuple[QuantizedLinear, ...]:
    """Return the parts of a linear layer whose outputs are several ones' side by side."""
    arrays = (product.weight, product.scale, product.bias)
    weights, scales, biases = (np.split(array, parts, axis=-1) for array in arrays)
    return tuple(
        QuantizedLinear(
            product.input, w.astype(np.int8), *(a.astype(np.float32) for a in (s, b))
        )
        for w, s, b in zip(weights, scales, biases, strict=True)
    )
