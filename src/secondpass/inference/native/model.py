"""An encoder laid out as the machine code wants it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.native.graph_match import (
    Encoder,
    GraphMismatch,
    Norm,
    Product,
    Rounding,
)

_INT, _FLOAT, _POINTER = ctypes.c_int32, ctypes.c_float, ctypes.c_void_p


class _Linear(ctypes.Structure):
    _fields_ = [
        *((name, _POINTER) for name in ("weights", "offset", "scale", "bias")),
        ("inputs", _INT),
        ("outputs", _INT),
    ]


class _Rounding(ctypes.Structure):
    _fields_ = [("inverse", _FLOAT), ("zero", _INT)]


class _Norm(ctypes.Structure):
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
        ("middle", _Norm),
        ("end", _Norm),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("hidden", "heads", "inner", "layers")),
        *((name, _INT) for name in ("vocabulary", "positions", "kinds", "first_only")),
        ("score_scale", _FLOAT),
        *((name, _POINTER) for name in ("words", "word_scales", "word_floats")),
        *((name, _POINTER) for name in ("places", "types")),
        ("first", _Norm),
        ("layer", ctypes.POINTER(_Layer)),
    ]


class CompiledModel:
    """The structures of encoder.h over arrays that live as long as this does.

    `first_only` says that the last layer is run for the first token alone.

    Raises `GraphMismatch` if the sizes do not suit panels of `panel` columns.
    """

    def __init__(self, encoder: Encoder, panel: int) -> None:
        self._panel = panel
        self._arrays: list[NDArray[Any]] = []
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
        self.first_only = encoder.classifier is not None
        # What each layer's output is rounded for: the next layer's products.
        following = [layer.query.rounding for layer in encoder.layers[1:]]
        following.append(Rounding(1.0, 0))
        layers = (_Layer * self.layers)()
        for i, (layer, after) in enumerate(zip(encoder.layers, following, strict=True)):
            layers[i] = _Layer(
                self._linear(layer.query, layer.key, layer.value),
                self._linear(layer.out),
                self._linear(layer.up),
                self._linear(layer.down),
                _rounding(layer.out.rounding),
                None if layer.even is None else self._kept(layer.even),
                _rounding(layer.down.rounding),
                self._norm(layer.middle, layer.up.rounding),
                self._norm(layer.end, after),
            )
        self._model = _Model(
            hidden,
            encoder.heads,
            inner,
            self.layers,
            len(words),
            len(tables.places),
            len(tables.types),
            self.first_only,
            encoder.score_scale,
            None if scales is None else self._kept(words),
            None if scales is None else self._kept(scales),
            self._kept(words) if scales is None else None,
            self._kept(tables.places),
            self._kept(tables.types),
            self._norm(encoder.first, encoder.layers[0].query.rounding),
            layers,
        )
        self.address = ctypes.addressof(self._model)

    def _kept(self, array: NDArray[Any]) -> int:
        whole = np.ascontiguousarray(array)
        self._arrays.append(whole)
        return whole.ctypes.data

    def _linear(self, *products: Product) -> _Linear:
        """Return several layers that read the same, side by side."""
        weight = np.concatenate([product.weight for product in products], axis=1)
        inputs, outputs = weight.shape
        packed = weight.reshape(inputs // 4, 4, outputs // self._panel, self._panel)
        rounding = products[0].rounding
        sums = weight.sum(axis=0, dtype=np.int32)
        scale = np.concatenate([product.scale for product in products])
        return _Linear(
            self._kept(packed.transpose(2, 0, 3, 1)),
            self._kept(sums * np.int32(rounding.zero)),
            self._kept(scale * np.float32(rounding.scale)),
            self._kept(np.concatenate([product.bias for product in products])),
            inputs,
            outputs,
        )

    def _norm(self, norm: Norm, rounding: Rounding) -> _Norm:
        factors = (norm.weight, norm.bias, norm.even_weight, norm.even_bias)
        return _Norm(*map(self._kept, factors), norm.epsilon, _rounding(rounding))


def _check(encoder: Encoder, hidden: int, inner: int) -> None:
    """Raise `GraphMismatch` unless every array is as long as the machine code reads it."""
    for array, wanted in _sizes(encoder, hidden, inner):
        if array.shape != wanted:
            raise GraphMismatch(f"a table is of {array.shape}, not {wanted}")


def _sizes(
    encoder: Encoder, hidden: int, inner: int
) -> Iterator[tuple[NDArray[Any], tuple[int, ...]]]:
    tables = encoder.embeddings
    for table in (tables.words, tables.places, tables.types):
        yield table, (len(table), hidden)
    if tables.word_scales is not None:
        yield tables.word_scales, (len(tables.words),)
    norms = [encoder.first]
    for layer in encoder.layers:
        for product in (layer.query, layer.key, layer.value, layer.out):
            yield product.weight, (hidden, hidden)
        yield layer.up.weight, (hidden, inner)
        yield layer.down.weight, (inner, hidden)
        if layer.even is not None:
            yield layer.even, (inner,)
        norms += [layer.middle, layer.end]
    for norm in norms:
        for factors in (norm.weight, norm.bias, norm.even_weight, norm.even_bias):
            yield factors, (hidden,)
    if encoder.classifier is not None:
        yield encoder.classifier.pooler, (hidden, hidden)
        yield encoder.classifier.pooler_bias, (hidden,)
        labels = len(encoder.classifier.weight)
        yield encoder.classifier.weight, (labels, hidden)
        yield encoder.classifier.bias, (labels,)


def _rounding(rounding: Rounding) -> _Rounding:
    return _Rounding(1 / rounding.scale, rounding.zero)
