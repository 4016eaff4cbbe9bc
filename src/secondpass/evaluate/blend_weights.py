"""Blend weights: scores of different kinds on one scale, weighted, and fitted by grid search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product

import numpy as np

from secondpass.evaluate.score_matrix import Matrix, ScoreMatrix

Columns = Mapping[str, Matrix]


def standardised(pool: ScoreMatrix) -> Columns:
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


UNITS = 40
"""A weight is a whole number of fortieths of the sum of all."""
STEPS = (4, 2, 1)

Point = tuple[int, ...]
Value = Callable[[Point], float]


def grid(size: int, step: int) -> Iterator[Point]:
    """Return all points of `size` weights that are multiples of `step` and sum to UNITS."""
    for head in product(range(0, UNITS + 1, step), repeat=size - 1):
        if sum(head) <= UNITS:
            yield (*head, UNITS - sum(head))


def around(point: Point, step: int) -> Iterator[Point]:
    """Return the points up to two steps away in each weight."""
    moves = (-2 * step, -step, 0, step, 2 * step)
    for move in product(moves, repeat=len(point) - 1):
        head = tuple(p + m for p, m in zip(point, move, strict=False))
        moved = (*head, UNITS - sum(head))
        if all(p >= 0 for p in moved):
            yield moved


def best(value: Value, size: int) -> Point:
    """Return the point of the highest value, by a grid that becomes finer around the best.

    Of equal values the first in order wins, so that the result is the same every time.
    """
    points = list(grid(size, STEPS[0]))
    chosen = max(points, key=lambda p: (value(p), [-x for x in p]))
    for step in STEPS[1:]:
        chosen = max(around(chosen, step), key=lambda p: (value(p), [-x for x in p]))
    return chosen


def leave_one_out(values: Mapping[str, Value], size: int) -> tuple[dict[str, Point], Point]:
    """Return each collection's weights, fitted on the others, and those fitted on all.

    `values` gives each collection's mean for a point; all collections count alike.
    """
    remembered = {name: cache(value) for name, value in values.items()}

    def mean(without: str | None) -> Value:
        kept = [value for name, value in remembered.items() if name != without]
        return lambda point: sum(value(point) for value in kept) / len(kept)

    held = {name: best(mean(name), size) for name in values} if len(values) > 1 else {}
    return held, best(mean(None), size)
