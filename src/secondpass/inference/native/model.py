"""Compiled model: the C structures of an encoder, with packed weights."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.native.encoder import (
    Encoder,
    GraphMismatch,
    Layer,
    LayerNorm,
    Quantization,
    QuantizedLinear,
)
from secondpass.inference.types import Float32

_INT, _FLOAT, _POINTER = ctypes.c_int32, ctypes.c_float, ctypes.c_void_p


class _Linear(ctypes.Structure):
    _fields_ = [
        *((name, _POINTER) for name in ("weights", "offset", "scale", "bias")),
        ("inputs", _INT),
        ("outputs", _INT),
    ]


class _Rounding(ctypes.Structure):
    _fields_ = [("inverse", _FLOAT), ("zero", _INT)]


class Norm(ctypes.Structure):
    """A normalization, as in encoder.h; `arrays` are what its addresses point to, if set."""

    arrays: list[Float32]

    _fields_ = [
        *((name, _POINTER) for name in ("weight", "bias", "even_weight", "even_bias")),
        ("epsilon", _FLOAT),
        ("rounding", _Rounding),
    ]


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, _Linear) for name in ("query_key_value", "out", "up", "down")),
        ("context", _Rounding),
        ("even", _POINTER),
        ("gelu", _Rounding),
        ("middle", Norm),
        ("end", Norm),
        ("gated", _INT),
        ("window", _INT),
        ("cosine", _POINTER),
        ("sine", _POINTER),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("hidden", "heads", "inner", "layers")),
        *(
            (name, _INT)
            for name in ("vocabulary", "positions", "kinds", "first_only", "before")
        ),
        ("score_scale", _FLOAT),
        *((name, _POINTER) for name in ("words", "word_scales", "word_floats")),
        *((name, _POINTER) for name in ("places", "types")),
        ("first", Norm),
        ("layer", ctypes.POINTER(_Layer)),
    ]


class CompiledModel:
    """The structures of encoder.h, over arrays that live as long as this object.

    `first_only` is whether the last layer runs for the first token only. `max_tokens` is the
    length of the longest sequence of a model without a table of positions.

    Raises `GraphMismatch` if the sizes are not multiples of `panel` columns.
    """

    def __init__(self, encoder: Encoder, panel: int, *, max_tokens: int) -> None:
        self._panel = panel
        self._max_tokens = max_tokens
        self._arrays: list[NDArray[Any]] = []
        self._weights = _Space(sum(map(_weight_bytes, encoder.layers)))
        tables = encoder.embeddings
        words, scales = tables.words, tables.word_scales
        hidden, inner = encoder.layers[0].up.weight.shape
        head = hidden // encoder.heads
        if hidden % panel or inner % panel or head % panel or head * encoder.heads != hidden:
            raise GraphMismatch(
                f"{hidden}, {inner} and {head} are not all multiples of {panel}"
            )
        _check(encoder, hidden, inner)
        self.hidden, self.inner, self.layers = hidden, inner, len(encoder.layers)
        head_of = encoder.classifier
        self.first_only = head_of is not None and head_of.pooling == "first"
        self._rotary: dict[bytes, tuple[int, int]] = {}
        # Each layer's output is quantized for the next layer's products.
        next_inputs = [layer.query.input for layer in encoder.layers[1:]]
        next_inputs.append(Quantization(1.0, 0))
        layers = (_Layer * self.layers)()
        for i, (layer, next_input) in enumerate(zip(encoder.layers, next_inputs, strict=True)):
            layers[i] = self._layer(layer, next_input)
        self._model = _Model(
            hidden,
            encoder.heads,
            inner,
            self.layers,
            len(words),
            max_tokens if tables.positions is None else len(tables.positions),
            1 if tables.token_types is None else len(tables.token_types),
            self.first_only,
            encoder.pre_norm,
            encoder.score_scale,
            None if scales is None else self._keep(words),
            None if scales is None else self._keep(scales),
            self._keep(words) if scales is None else None,
            None if tables.positions is None else self._keep(tables.positions),
            None if tables.token_types is None else self._keep(tables.token_types),
            self._norm(encoder.embedding_norm, encoder.layers[0].query.input),
            layers,
        )
        self.address = ctypes.addressof(self._model)

    def _layer(self, layer: Layer, next_input: Quantization) -> _Layer:
        up = (layer.up,) if layer.gate is None else (_interleave(layer, self._panel // 2),)
        cosine, sine = (None, None) if layer.rotary is None else self._angles(layer.rotary)
        return _Layer(
            self._linear(layer.query, layer.key, layer.value),
            self._linear(layer.attention_output),
            self._linear(*up),
            self._linear(layer.down),
            _rounding(layer.attention_output.input),
            None if layer.gelu_scale is None else self._keep(layer.gelu_scale),
            _rounding(layer.down.input),
            self._norm(layer.attention_norm, layer.up.input),
            self._norm(layer.output_norm, next_input),
            layer.gate is not None,
            -1 if layer.window is None else layer.window,
            cosine,
            sine,
        )

    def _angles(self, frequencies: Float32) -> tuple[int, int]:
        """Return the addresses of cosines and sines, [max_tokens, head / 2] each."""
        key = frequencies.tobytes()
        if key not in self._rotary:
            positions = np.arange(self._max_tokens, dtype=np.float32)
            # The angles as the graph computes them, in single precision.
            angles = (positions[:, None] * frequencies).astype(np.float64)
            cosine, sine = (f(angles).astype(np.float32) for f in (np.cos, np.sin))
            self._rotary[key] = self._keep(cosine), self._keep(sine)
        return self._rotary[key]

    def _keep(self, array: NDArray[Any]) -> int:
        """Keep a contiguous array alive and return its address."""
        contiguous = np.ascontiguousarray(array)
        self._arrays.append(contiguous)
        return contiguous.ctypes.data

    def _linear(self, *products: QuantizedLinear) -> _Linear:
        """Return several linear layers of the same input, concatenated."""
        weight = np.concatenate([product.weight for product in products], axis=1)
        inputs, outputs = weight.shape
        packed = self._weights.take(outputs // self._panel, inputs // 4, self._panel, 4)
        parts = weight.reshape(inputs // 4, 4, outputs // self._panel, self._panel)
        packed[...] = parts.transpose(2, 0, 3, 1)
        quantization = products[0].input
        sums = weight.sum(axis=0, dtype=np.int32)
        scale = np.concatenate([product.scale for product in products])
        return _Linear(
            packed.ctypes.data,
            self._keep(sums * np.int32(quantization.zero)),
            self._keep(scale * np.float32(quantization.scale)),
            self._keep(np.concatenate([product.bias for product in products])),
            inputs,
            outputs,
        )

    def _norm(self, norm: LayerNorm, quantization: Quantization) -> Norm:
        return Norm(*map(self._keep, _factors(norm)), norm.epsilon, _rounding(quantization))


class _Space:
    """The packed weights of a model, one after the other, each at a multiple of a cache line.

    In one array, because NumPy asks for huge pages for large ones.
    """

    _LINE = 64

    def __init__(self, size: int) -> None:
        array = np.empty(size + self._LINE, dtype=np.int8)
        self._free = array[-array.ctypes.data % self._LINE :]

    def take(self, *shape: int) -> NDArray[np.int8]:
        """Return the next part, whose size is a multiple of a cache line."""
        size = math.prod(shape)
        part, self._free = self._free[:size], self._free[size:]
        return part.reshape(shape)


def _weight_bytes(layer: Layer) -> int:
    """Return the bytes of a layer's weights."""
    products = (layer.query, layer.key, layer.value, layer.attention_output)
    gate = () if layer.gate is None else (layer.gate,)
    return sum(p.weight.size for p in (*products, layer.up, *gate, layer.down))


def _factors(norm: LayerNorm) -> tuple[Float32, Float32, Float32, Float32]:
    return norm.weight, norm.bias, norm.next_weight, norm.next_bias


def _interleave(layer: Layer, columns: int) -> QuantizedLinear:
    """Return the inputs of GELU and the gate as one linear layer, `columns` of each in turn."""
    up, gate = layer.up, layer.gate
    assert gate is not None

    def merged(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        halves = (a.reshape(*a.shape[:-1], -1, 1, columns) for a in (first, second))
        return np.concatenate(list(halves), axis=-2).reshape(*first.shape[:-1], -1)

    return QuantizedLinear(
        up.input,
        merged(up.weight, gate.weight),
        merged(up.scale, gate.scale),
        merged(up.bias, gate.bias),
    )


def _check(encoder: Encoder, hidden: int, inner: int) -> None:
    """Raise `GraphMismatch` unless every array has the shape that the C code reads."""
    for array, expected in _shapes(encoder, hidden, inner):
        if array.shape != expected:
            raise GraphMismatch(f"a table has the shape {array.shape}, not {expected}")


def _shapes(
    encoder: Encoder, hidden: int, inner: int
) -> Iterator[tuple[NDArray[Any], tuple[int, ...]]]:
    tables = encoder.embeddings
    for table in (tables.words, tables.positions, tables.token_types):
        if table is not None:
            yield table, (len(table), hidden)
    if tables.word_scales is not None:
        yield tables.word_scales, (len(tables.words),)
    norms = [encoder.embedding_norm]
    for layer in encoder.layers:
        for product in (layer.query, layer.key, layer.value, layer.attention_output):
            yield product.weight, (hidden, hidden)
        yield layer.up.weight, (hidden, inner)
        if layer.gate is not None:
            yield layer.gate.weight, (hidden, inner)
        if layer.rotary is not None:
            yield layer.rotary, (hidden // encoder.heads // 2,)
        yield layer.down.weight, (inner, hidden)
        if layer.gelu_scale is not None:
            yield layer.gelu_scale, (inner,)
        norms += [layer.attention_norm, layer.output_norm]
    for norm in norms:
        for factors in _factors(norm):
            yield factors, (hidden,)
    if encoder.classifier is not None:
        head = encoder.classifier
        yield head.dense, (hidden, hidden)
        yield head.dense_bias, (hidden,)
        if head.norm is not None:
            for factors in _factors(head.norm):
                yield factors, (hidden,)
        labels = len(head.weight)
        yield head.weight, (labels, hidden)
        yield head.bias, (labels,)


def plain_norm(norm: LayerNorm) -> Norm:
    """Return a normalization whose output is not rounded."""
    # Copies, because the tables in the file may not be aligned.
    arrays = [factors.copy() for factors in _factors(norm)]
    addresses = [array.ctypes.data for array in arrays]
    structure = Norm(*addresses, norm.epsilon, _rounding(Quantization(1.0, 0)))
    structure.arrays = arrays  # which live as long as it does
    return structure


def _rounding(quantization: Quantization) -> _Rounding:
    return _Rounding(1 / quantization.scale, quantization.zero)
