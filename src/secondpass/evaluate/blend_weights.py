"""Blend weights: scores on one scale, their weighted sum, and a grid search for weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product

import numpy as np

from secondpass.evaluate.score_matrix import NEIGHBORS, FloatArray, ScoreMatrix

Columns = Mapping[str, FloatArray]

UNITS = 40
"""A weight is a whole number of fortieths of the sum of all."""
STEPS = (4, 2, 1)

Point = tuple[int, ...]
"""Weights in units; they sum to `UNITS`."""
Value = Callable[[Point], float]
"""The value of weights, such as a mean over queries."""


def standardize_columns(matrix: ScoreMatrix) -> Columns:
    """Return every column with mean 0 and deviation 1 within each query, as `Blend` does.

    `NEIGHBORS` stays as it is: its deviation says how much it counts in each query.
    """
    n = np.maximum(matrix.mask.sum(axis=1, keepdims=True), 1)
    columns = {}
    for name, values in matrix.columns.items():
        if name == NEIGHBORS:
            columns[name] = values
            continue
        mean = np.where(matrix.mask, values, 0.0).sum(axis=1, keepdims=True) / n
        centered = np.where(matrix.mask, values - mean, 0.0)
        deviation = np.sqrt((centered**2).sum(axis=1, keepdims=True) / n)
        constant = deviation < 1e-12
        columns[name] = np.where(constant, 0.0, centered / np.where(constant, 1.0, deviation))
    return columns


def weighted_sum(columns: Columns, weights: Mapping[str, float]) -> FloatArray:
    """Return the weighted sum of the columns, [queries, longest row]."""
    total: FloatArray = np.zeros_like(next(iter(columns.values())))
    for name, values in columns.items():
        if weights.get(name, 0.0):
            total = total + weights[name] * values
    return total


def weight_grid(size: int, step: int) -> Iterator[Point]:
    """Yield all points of `size` weights that are multiples of `step` and sum to UNITS."""
    for head in product(range(0, UNITS + 1, step), repeat=size - 1):
        if sum(head) <= UNITS:
            yield (*head, UNITS - sum(head))


def neighbors(point: Point, step: int) -> Iterator[Point]:
    """Yield the points up to two steps away in each weight."""
    moves = (-2 * step, -step, 0, step, 2 * step)
    for move in product(moves, repeat=len(point) - 1):
        head = tuple(p + m for p, m in zip(point, move, strict=False))
        neighbor = (*head, UNITS - sum(head))
        if all(p >= 0 for p in neighbor):
            yield neighbor


def search_weights(value: Value, size: int) -> Point:
    """Return the point of the highest value, by a grid that gets finer around the best.

    Of equal values the first in order wins, so that the result is reproducible.
    """

    def key(point: Point) -> tuple[float, list[int]]:
        return value(point), [-x for x in point]

    best = max(weight_grid(size, STEPS[0]), key=key)
    for step in STEPS[1:]:
        best = max(neighbors(best, step), key=key)
    return best


def leave_one_out(values: Mapping[str, Value], size: int) -> tuple[dict[str, Point], Point]:
    """Return each collection's weights, fitted on the others, and those fitted on all.

    `values` has each collection's mean for a point; all collections count alike.
    """
    cached = {name: cache(value) for name, value in values.items()}

    def mean(held_out: str | None) -> Value:
        included = [value for name, value in cached.items() if name != held_out]
        return lambda point: sum(value(point) for value in included) / len(included)

    held_out = list(values) if len(values) > 1 else []
    fitted = {name: search_weights(mean(name), size) for name in held_out}
    return fitted, search_weights(mean(None), size)
