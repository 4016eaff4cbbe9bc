"""The three ways from scores to probabilities, fitted on labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secondpass.evaluate.platt import fit_platt

_HALVINGS = 200


class Fitted(NamedTuple):
    """The numbers of a `Calibration`, without what it belongs to."""

    scale: float = 1.0
    shift: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()


def fit(method: str, scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> Fitted | None:
    """Return the numbers of a method of `METHODS`, or None where the labels allow none.

    There are none if all labels are of one kind, or if relevant pairs do not score higher.
    """
    if not relevant.any() or relevant.all() or np.ptp(scores) < 1e-12:
        return None
    if method == "platt":
        found = fit_platt(scores, relevant)
        return None if found is None else Fitted(found.scale, found.shift)
    if method == "temperature":
        return _temperature(scores, relevant)
    return _isotonic(scores, relevant)


def pool_adjacent(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[tuple[int, int, float]]:
    """Return the blocks [start, end) of the nearest rising sequence, each with its level.

    The pool-adjacent-violators algorithm (Ayer et al., 1955): least squares, `weights`
    above 0; neighbouring blocks have different levels.
    """
    blocks: list[tuple[int, int, float, float]] = []
    for i, (value, weight) in enumerate(zip(values.tolist(), weights.tolist(), strict=True)):
        start, total, mass = i, value * weight, weight
        while blocks and blocks[-1][2] / blocks[-1][3] >= total / mass:
            before = blocks.pop()
            start, total, mass = before[0], before[2] + total, before[3] + mass
        blocks.append((start, i + 1, total, mass))
    return [(start, end, total / mass) for start, end, total, mass in blocks]


def _isotonic(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> Fitted | None:
    distinct, place = np.unique(scores, return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    # Platt's softened labels, so that no score becomes certain.
    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    means = np.bincount(place, weights=target) / counts
    blocks = pool_adjacent(means, counts)
    if len(blocks) < 2:
        return None
    steps = []
    for start, end, level in blocks:
        steps.append((float(distinct[start]), level))
        if end - start > 1:
            steps.append((float(distinct[end - 1]), level))
    return Fitted(steps=tuple(steps))


def _temperature(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> Fitted | None:
    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def slope(scale: float) -> float:
        chances = 1 / (1 + np.exp(-np.clip(scale * scores, -500, 500)))
        return float((scores * (chances - target)).sum())

    size = float(np.abs(scores).max())
    low, high = 1e-9 / size, 1e3 / size
    # The loss is convex, so its slope crosses zero once, or not above zero at all.
    if slope(low) >= 0:
        return None
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return Fitted(scale=high)
