"""Calibration methods: Platt scaling, temperature and isotonic regression, fitted on labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 50
_BISECTION_STEPS = 200


class PlattParameters(NamedTuple):
    """A score s has the log-odds `scale` · s + `shift`; `scale` is above 0."""

    scale: float
    shift: float


class CalibrationParameters(NamedTuple):
    """The parameters of a `Calibration`, without the model that it belongs to."""

    scale: float = 1.0
    shift: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()


def fit_calibration(
    method: str, scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> CalibrationParameters | None:
    """Return the parameters of a method of `METHODS`, or None where the labels allow none.

    There are none if all labels are of one kind, or if relevant pairs do not score higher.
    """
    if not relevant.any() or relevant.all() or np.ptp(scores) < 1e-12:
        return None
    if method == "platt":
        platt = fit_platt(scores, relevant)
        return None if platt is None else CalibrationParameters(platt.scale, platt.shift)
    if method == "temperature":
        return _fit_temperature(scores, relevant)
    return _fit_isotonic(scores, relevant)


def fit_platt(
    scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> PlattParameters | None:
    """Return the maximum-likelihood parameters of Platt scaling.

    Platt, 1999, with his softened labels, by Newton's method as in Lin, Lin and Weng, 2007.
    The order of scores never changes: None if the best scale is not above 0, or there are
    not both kinds of labels.
    """
    positives = int(relevant.sum())
    negatives = len(relevant) - positives
    if not positives or not negatives:
        return None
    target = _soft_labels(relevant)
    # Standardized, so that one ridge fits scores of any size.
    mean, deviation = float(scores.mean()), float(scores.std())
    if deviation < 1e-12:
        return None
    x = np.stack([(scores - mean) / deviation, np.ones_like(scores)], axis=1)
    weights = np.array([0.0, np.log(positives / negatives)])
    for _ in range(_NEWTON_STEPS):
        predicted = _sigmoid(x @ weights)
        gradient = x.T @ (predicted - target)
        hessian = (x * (predicted * (1 - predicted))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        loss, size = _log_loss(x, weights, target), 1.0
        while size > 1e-4 and _log_loss(x, weights - size * step, target) > loss:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    scale = float(weights[0]) / deviation
    if not scale > 0:
        return None
    return PlattParameters(scale, float(weights[1]) - scale * mean)


def pool_adjacent(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[tuple[int, int, float]]:
    """Return the blocks [start, end) of the nearest rising sequence, each with its level.

    The pool-adjacent-violators algorithm (Ayer et al., 1955): least squares, `weights`
    above 0; neighboring blocks have different levels.
    """
    blocks: list[tuple[int, int, float, float]] = []
    for i, (value, weight) in enumerate(zip(values.tolist(), weights.tolist(), strict=True)):
        start, weighted_total, total_weight = i, value * weight, weight
        while blocks and blocks[-1][2] / blocks[-1][3] >= weighted_total / total_weight:
            previous = blocks.pop()
            start = previous[0]
            weighted_total += previous[2]
            total_weight += previous[3]
        blocks.append((start, i + 1, weighted_total, total_weight))
    return [(start, end, total / weight) for start, end, total, weight in blocks]


def _fit_isotonic(
    scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> CalibrationParameters | None:
    distinct, position = np.unique(scores, return_inverse=True)
    counts = np.bincount(position).astype(np.float64)
    # Softened labels, so that no score becomes certain.
    means = np.bincount(position, weights=_soft_labels(relevant)) / counts
    blocks = pool_adjacent(means, counts)
    if len(blocks) < 2:
        return None
    steps = []
    for start, end, level in blocks:
        steps.append((float(distinct[start]), level))
        if end - start > 1:
            steps.append((float(distinct[end - 1]), level))
    return CalibrationParameters(steps=tuple(steps))


def _fit_temperature(
    scores: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> CalibrationParameters | None:
    target = _soft_labels(relevant)

    def slope(scale: float) -> float:
        return float((scores * (_sigmoid(scale * scores) - target)).sum())

    largest = float(np.abs(scores).max())
    low, high = 1e-9 / largest, 1e3 / largest
    # The loss is convex, so its slope crosses zero once, or not above zero at all.
    if slope(low) >= 0:
        return None
    for _ in range(_BISECTION_STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return CalibrationParameters(scale=high)


def _soft_labels(relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return Platt's targets, which are a little above 0 and below 1."""
    positives = int(relevant.sum())
    negatives = len(relevant) - positives
    return np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return probabilities


def _log_loss(
    x: NDArray[np.float64], weights: NDArray[np.float64], target: NDArray[np.float64]
) -> float:
    logits = x @ weights
    return float((np.logaddexp(0, logits) - target * logits).sum())
