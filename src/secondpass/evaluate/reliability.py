"""Whether probabilities hold: a reliability diagram, and the expected calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
_ROUNDS = 1000
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose probability is in [low, high): how many, promised and true share.

    `share_low` and `share_high` are Wilson's 95% interval of the share that was relevant,
    as if the pairs were independent.
    """

    low: float
    high: float
    pairs: int
    promised: float
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities are from what came true, 0 (never off) to 1.

    - `bins`: those of ten equally wide ones that hold any pair, the data of the diagram.
    - `error`: the expected calibration error over these bins; `error_low` and `error_high`
      are its 95% interval over queries, by the bootstrap, widened to hold the error
      itself. The error of few pairs is mostly chance: it shrinks with more labels.
    - `log_loss`: in nats a pair; `brier`: the mean squared error.
    """

    bins: tuple[Bin, ...]
    error: float
    error_low: float
    error_high: float
    log_loss: float
    brier: float
    pairs: int
    queries: int


def reliability(
    probabilities: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    queries: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Reliability:
    """Return how well probabilities hold; `queries` numbers the query of each pair.

    The three arrays have one length, at least 1.
    """
    error = float(calibration_error(probabilities, relevant, BINS))
    low, high = _interval(probabilities, relevant, queries, seed)
    safe = np.clip(probabilities, 1e-12, 1 - 1e-12)
    loss = -np.where(relevant, np.log(safe), np.log1p(-safe)).mean()
    return Reliability(
        bins=_bins(probabilities, relevant),
        error=error,
        # Resampling adds noise, and noise adds to an error that is never negative.
        error_low=min(low, error),
        error_high=max(high, error),
        log_loss=float(loss),
        brier=float(((probabilities - relevant) ** 2).mean()),
        pairs=len(relevant),
        queries=len(np.unique(queries)),
    )


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


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson, 1927); `count` is at least 1."""
    share, z2 = hits / count, _Z * _Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count)
    half *= math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def _bins(probabilities: NDArray[np.float64], relevant: NDArray[np.bool_]) -> tuple[Bin, ...]:
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    found = []
    for one in range(BINS):
        inside = place == one
        count = int(inside.sum())
        if not count:
            continue
        hits = int(relevant[inside].sum())
        low, high = wilson(hits, count)
        promised = float(probabilities[inside].mean())
        edges = one / BINS, (one + 1) / BINS
        found.append(Bin(*edges, count, promised, hits / count, low, high))
    return tuple(found)


def _interval(
    probabilities: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    queries: NDArray[np.int64],
    seed: int,
) -> tuple[float, float]:
    # The error of a resample depends only on sums by query and bin, so no pair is copied.
    _, query = np.unique(queries, return_inverse=True)
    count = int(query.max()) + 1
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    pairs, gaps = np.zeros((count, BINS)), np.zeros((count, BINS))
    np.add.at(pairs, (query, place), 1.0)
    np.add.at(gaps, (query, place), probabilities - relevant)
    chance = np.random.default_rng(seed)
    drawn = chance.multinomial(count, np.full(count, 1 / count), size=_ROUNDS)
    errors = np.abs(drawn @ gaps).sum(axis=1) / (drawn @ pairs).sum(axis=1)
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)
