"""From scores to probabilities, by two numbers."""

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


def calibration_error(
    probabilities: NDArray[np.float64], relevant: NDArray[np.bool_], bins: int = 10
) -> float:
    """Return the expected calibration error, 0 to 1, over equally wide bins."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    error = 0.0
    for one in range(bins):
        inside = place == one
        if inside.any():
            gap = abs(probabilities[inside].mean() - relevant[inside].mean())
            error += float(gap) * inside.mean()
    return error


def _loss(
    x: NDArray[np.float64], weights: NDArray[np.float64], target: NDArray[np.float64]
) -> float:
    logits = x @ weights
    return float((np.logaddexp(0, logits) - target * logits).sum())
