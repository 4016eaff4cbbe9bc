"""The three ways from scores to probabilities, fitted on labels.

From scores to probabilities, by two numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS = 50


class Calibration(NamedTuple):
    """A score s becomes the log-odds `scale` · s + `shift`; `scale` is above 0."""

    scale: float
    shift: float


def fit_platt(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> Calibration | None:
    """Return the calibration under which the labels are likeliest.

    Platt, 1999, with his softened labels, by Newton's method as in Lin, Lin and Weng, 2007.
    The order of scores never changes: None if the likeliest scale is not above 0, or there
    are not both kinds of labels.
    """
    positives = int(relevant.sum())
    negatives = len(relevant) - positives
    if not positives or not negatives:
        return None
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Standardised, so that one ridge fits scores of any size.
    mean, spread = float(scores.mean()), float(scores.std())
    if spread < 1e-12:
        return None
    x = np.stack([(scores - mean) / spread, np.ones_like(scores)], axis=1)
    weights = np.array([0.0, np.log(positives / negatives)])
    for _ in range(STEPS):
        logits = x @ weights
        found = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        slope = x.T @ (found - target)
        curve = (x * (found * (1 - found))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while size > 1e-4 and _loss(x, weights - size * step, target) > _loss(
            x, weights, target
        ):
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    scale = float(weights[0]) / spread
    if not scale > 0:
        return None
    return Calibration(scale, float(weights[1]) - scale * mean)


def _loss(
    x: NDArray[np.float64], weights: NDArray[np.float64], target: NDArray[np.float64]
) -> float:
    logits = x @ weights
    return float((np.logaddexp(0, logits) - target * logits).sum())


_HALVINGS = 200


class FittedCalibration(NamedTuple):
    """The numbers of a `Calibration`, without what it belongs to."""

    scale: float = 1.0
    shift: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()


def fit(
    method: str, scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> FittedCalibration | None:
    """Return the numbers of a method of `METHODS`, or None where the labels allow none.

    There are none if all labels are of one kind, or if relevant pairs do not score higher.
    """
    if not relevant.any() or relevant.all() or np.ptp(scores) < 1e-12:
        return None
    if method == "platt":
        found = fit_platt(scores, relevant)
        return None if found is None else FittedCalibration(found.scale, found.shift)
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


def _isotonic(
    scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> FittedCalibration | None:
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
    return FittedCalibration(steps=tuple(steps))


def _temperature(
    scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> FittedCalibration | None:
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
    return FittedCalibration(scale=high)
