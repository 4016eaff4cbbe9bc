"""An embedder that needs no model: each word has a random vector, made from its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def _word_vector(word: str, dimension: int) -> NDArray[np.float32]:
    seed = hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8]
    random = np.random.default_rng(int.from_bytes(seed, "little"))
    return random.standard_normal(dimension, dtype=np.float32)


class HashedEmbedder:
    def __init__(self, dimension: int = 16, digest: str = "hashed-1") -> None:
        self.name = "hashed"
        self.digest = digest
        self.dimension = dimension
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += len(texts)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in text.lower().split() or [""]:
                row += _word_vector(word, self.dimension)
            row /= np.linalg.norm(row)
        return vectors

    def count_tokens(self, text: str) -> int:
        return len(text.split())
