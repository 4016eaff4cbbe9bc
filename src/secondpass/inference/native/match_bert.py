"""Graph matching for BERT and its relatives: RoBERTa, XLM-RoBERTa, ELECTRA, DistilBERT."""

from __future__ import annotations

import numpy as np

from secondpass.inference.native.encoder import (
    EmbeddingTables,
    Encoder,
    GraphMismatch,
    Layer,
    QuantizedLinear,
)
from secondpass.inference.native.graph_matcher import GraphMatcher, scale_outputs
from secondpass.inference.native.onnx_file import Table
from secondpass.inference.types import Float32

_FORWARDED = ("Cast", "Mul", "Not", "Equal", "CumSum", "Add")


class BertMatcher(GraphMatcher):
    """Finds an encoder with absolute positions and normalization after each half of a layer."""

    def encoder(self) -> Encoder:
        """Match the whole graph."""
        if self.graph.outputs == ("logits",):
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
            first_only = classifier is not None and classifier.pooling == "first" and not layers
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
        return any(self.is_linear(term) for term in self.node(added, "Add").inputs)

    def layer(
        self, name: str, next_input: str | None, *, first_only: bool
    ) -> tuple[Layer, str, str, int, float]:
        """Match the layer with this output.

        Return it, its residual and its attention input, a head's length and the score scale.
        """
        source, output_norm = self.norm(name, next_input)
        (gelu, down), middle = self.residual(source)
        gelu, gelu_scale = self.scaled(gelu)
        node = self.node(gelu, "Gelu")
        if node.attributes.get("approximate", "none") != "none":
            raise GraphMismatch(f"{gelu} is approximated")
        up_input, up = self.linear(node.inputs[0])
        source, attention_norm = self.norm(middle, up_input)
        (context, attention_output), before = self.residual(source)
        context, factors = self.scaled(context)
        if first_only:
            context, before = self.first_token(context), self.first_token(before)
        (query, key, value), attention_input, head, scale = self.attention(context)
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
        )
        return layer, before, attention_input, head, scale

    def residual(self, name: str) -> tuple[tuple[str, QuantizedLinear], str]:
        """Match a residual sum; return the linear layer with its input, and the other term."""
        a, b = self.node(name, "Add").inputs
        if not self.is_linear(a):
            a, b = b, a
        return self.linear(a), b

    def attention(
        self, name: str
    ) -> tuple[tuple[QuantizedLinear, QuantizedLinear, QuantizedLinear], str, int, float]:
        """Match attention.

        Return the projections and their input, a head's length and the score scale.
        """
        queries, keys, values, _, scale = self.scores(name)
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

    def split_heads(self, name: str, order: tuple[int, ...]) -> tuple[str, int]:
        """Match a reshape and transpose into heads; return the input and a head's length."""
        node = self.node(name, "Transpose")
        if node.attributes.get("perm") != order:
            raise GraphMismatch(f"{name} is not transposed by {order}")
        source, shape = self.node(node.inputs[0], "Reshape").inputs
        length = self.table(self.node(shape, "Concat").inputs[-1])
        return source, int(length.reshape(-1)[0])

    def state_outputs(self) -> tuple[str, ...]:
        """Match the states that an embedder returns; return the outputs of layers."""
        outputs = self.graph.outputs
        if len(outputs) == 1:
            return ()
        if outputs[1:] != ("states",):
            raise GraphMismatch(f"it has outputs {', '.join(outputs)}")
        node = self.node("states", "Concat")
        if node.attributes.get("axis") not in (-1, 2):
            raise GraphMismatch("states are not concatenated on the last axis")
        return node.inputs

    # --- embeddings ------------------------------------------------------------------

    def embeddings(self, name: str) -> EmbeddingTables:
        """Match the sum of embeddings before their normalization."""
        a, b = self.node(name, "Add").inputs
        rest, last = (a, b) if self.has_kind(a, "Add") else (b, a)
        token_types = None
        if self.has_kind(rest, "Add"):
            rest, types = self.node(rest, "Add").inputs
            token_types = self.token_types(types)
        words, word_scales, ids = self.rows(rest)
        positions, position_scales, index = self.rows(last)
        if ids != "input_ids":
            # Without token types, words and positions may be added in the other order.
            words, word_scales, ids, positions, position_scales, index = (
                *(positions, position_scales, index),
                *(words, word_scales, ids),
            )
        if ids != "input_ids":
            raise GraphMismatch("words are not looked up by the inputs")
        return EmbeddingTables(
            words,
            word_scales,
            _dequantize(positions, position_scales),
            token_types,
            None if self.counts_up(index) else self.padding(index),
        )

    def token_types(self, name: str) -> Float32:
        """Match a lookup of token types; return the table."""
        types, scales, index = self.rows(name)
        if index != "token_type_ids" and not self.is_zero(index):
            raise GraphMismatch("token types are not looked up by the inputs")
        table = _dequantize(types, scales)
        return table if index == "token_type_ids" else table[:1]

    def counts_up(self, name: str) -> bool:
        """Return whether positions count from 0."""
        if not self.has_kind(name, "Slice"):
            return False
        table = self.table(self.node(name, "Slice").inputs[0]).reshape(-1)
        return bool(np.array_equal(table, np.arange(len(table))))

    def padding(self, name: str) -> int:
        """Match RoBERTa's positions, and return the id of padding that they count from.

        They are cumsum(ids != padding) * (ids != padding) + padding.
        """
        kinds = sorted({node.kind for node in self.ancestors(name)})
        counted, padding = self.node_with_table(self.skip(name, "Cast"), "Add")
        factors = self.node(self.skip(counted, "Cast"), "Mul").inputs
        a, b = (self.skip(value, "Cast") for value in factors)
        total, mask = (a, b) if self.has_kind(a, "CumSum") else (b, a)
        node = self.node(total, "CumSum")
        same = self.skip(node.inputs[0], "Cast") == mask
        plain = not node.attributes.get("reverse") and not node.attributes.get("exclusive")
        ids, other = self.node_with_table(self.node(mask, "Not").inputs[0], "Equal")
        if (
            not (same and plain and set(kinds) <= set(_FORWARDED))
            or self.integers(node.inputs[1]) != [1]
            or ids != "input_ids"
            or padding.size != 1
            or other.size != 1
            or int(padding.reshape(())) != int(other.reshape(()))
        ):
            raise GraphMismatch("positions count neither from 0 nor from the id of padding")
        return int(padding.reshape(()))

    def is_zero(self, name: str) -> bool:
        """Return whether an index is all zeros, after any expansion, gather or slice."""
        node = self.producers.get(name)
        if node is None or node.kind not in ("Expand", "GatherElements", "Slice"):
            table = self.tables.get(name)
            return table is not None and not np.any(table)
        return self.is_zero(node.inputs[0])


def _dequantize(table: Table, scales: Float32 | None) -> Float32:
    values = np.asarray(table, np.float32)
    return values if scales is None else values * scales[:, None]
