"""Description of a quantized encoder: what graph matching finds and the native engine runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.types import Float32

Int8 = NDArray[np.int8]
Activation = Literal["Tanh", "Gelu", "Relu"]


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
    """One transformer layer.

    - `attention_norm` is between attention and feed-forward block, `output_norm` between this
      layer and the next one, or behind the last.
    - `gate`: what the output of GELU is multiplied by, in a gated layer (GeGLU, Shazeer, 2020,
      https://arxiv.org/abs/2002.05202); `gelu_scale` multiplies the result, or is None.
    - `window`: how many tokens on each side a token attends to, or None for all.
    - `rotary`: the inverse frequencies of rotary positions, `[head / 2]` (RoFormer, Su et al.,
      2021, https://arxiv.org/abs/2104.09864), or None.
    """

    query: QuantizedLinear
    key: QuantizedLinear
    value: QuantizedLinear
    attention_output: QuantizedLinear
    attention_norm: LayerNorm
    up: QuantizedLinear
    gelu_scale: Float32 | None
    down: QuantizedLinear
    output_norm: LayerNorm
    gate: QuantizedLinear | None = None
    window: int | None = None
    rotary: Float32 | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """Embeddings of words, positions and token types; int8 `words` have a scale for each row.

    `positions` and `token_types` are None where nothing is added to the words. There is one
    token type if the graph has no input for them. With a `padding` id, positions count from
    `padding` + 1 as in RoBERTa, over the tokens that are not that id, whose own position is
    `padding`.
    """

    words: Int8 | Float32
    word_scales: Float32 | None
    positions: Float32 | None
    token_types: Float32 | None
    padding: int | None = None


@dataclass(frozen=True, slots=True)
class Classifier:
    """The head of a cross-encoder: a dense layer with an activation, and logits of its output.

    `pooling` says what it reads: the first token's state, or the mean of all. `norm`
    normalizes the output of the activation, or is None.
    """

    dense: Float32
    dense_bias: Float32
    activation: Activation
    weight: Float32
    bias: Float32
    norm: LayerNorm | None = None
    pooling: Literal["first", "mean"] = "first"


@dataclass(frozen=True, slots=True)
class Encoder:
    """The whole graph: a cross-encoder with `classifier`, or an embedder without.

    `states` are the layers whose outputs an embedder returns as states, counted from 1. With
    `pre_norm`, normalizations are before the two halves of a layer and not after them
    (https://arxiv.org/abs/2002.04745).
    """

    embeddings: EmbeddingTables
    embedding_norm: LayerNorm
    layers: tuple[Layer, ...]
    heads: int
    score_scale: float
    classifier: Classifier | None
    states: tuple[int, ...]
    pre_norm: bool = False
