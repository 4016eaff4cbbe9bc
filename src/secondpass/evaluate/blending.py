"""Scores of different kinds on one scale, and their weighted sum, for all queries at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from secondpass.evaluate.score_matrix import Matrix, Pool

Columns = Mapping[str, Matrix]


def standardised(pool: Pool) -> Columns:
    """Return every column with mean 0 and deviation 1 within each query, as `Blend` does."""
    n = np.maximum(pool.there.sum(axis=1, keepdims=True), 1)
    columns = {}
    for name, values in pool.columns.items():
        mean = np.where(pool.there, values, 0.0).sum(axis=1, keepdims=True) / n
        centred = np.where(pool.there, values - mean, 0.0)
        deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / n)
        flat = deviation < 1e-12
        columns[name] = np.where(flat, 0.0, centred / np.where(flat, 1.0, deviation))
    return columns


def fused(columns: Columns, weights: Mapping[str, float]) -> Matrix:
    """Return the weighted sum of the columns, [queries, longest]."""
    total: Matrix = np.zeros_like(next(iter(columns.values())))
    for name, values in columns.items():
        if weights.get(name, 0.0):
            total = total + weights[name] * values
    return total
