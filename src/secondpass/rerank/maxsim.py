"""How well the tokens of a query are met by those of a document."""

from __future__ import annotations

import numpy as np

from secondpass.inference.runtimes import Float32


def unit(vectors: Float32) -> Float32:
    """Return the rows with length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


def maxsim(query: Float32, document: Float32) -> float:
    """Return the mean over the query's tokens of the highest cosine in the document.

    Both are [tokens, dimension] with rows of unit length. A document or a query without
    tokens gives -1. ColBERT sums where this takes the mean, which orders alike and does not
    grow with the query. Source: Khattab and Zaharia, SIGIR 2020.
    """
    if not len(query) or not len(document):
        return -1.0
    return float((query @ document.T).max(axis=1).astype(np.float64).mean())
