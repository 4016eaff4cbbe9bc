"""Reliability of probabilities: the reliability diagram and the expected calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
_BOOTSTRAP_ROUNDS = 1000
_Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pairs with a probability in [low, high), `promised` and `share` on average.

    `promised` is the mean probability, `share` the share that is relevant, `share_low` and
    `share_high` its Wilson 95% interval, as if the pairs were independent.
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
    """How far probabilities are from relevance, 0 (never off) to 1.

    - `bins`: the nonempty ones of ten equally wide bins, the data of the diagram.
    - `error`: the expected calibration error over these bins; `error_low` and `error_high`
      are its 95% bootstrap interval over queries, widened to hold the error itself. The
      error of few pairs is mostly chance: it shrinks with more labels.
    - `log_loss`: in nats a pair; `brier`: the mean squared error.
    """

    bins: tuple[ReliabilityBin, ...]
    error: float
    error_low: float
    error_high: float
    log_loss: float
    brier: float
    pairs: int
    queries: int


def measure_reliability(
    probabilities: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    queries: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Reliability:
    """Measure how well probabilities hold; `queries` numbers the query of each pair.

    The three arrays have one length, at least 1.
    """
    error = expected_calibration_error(probabilities, relevant, BINS)
    low, high = _bootstrap_interval(probabilities, relevant, queries, seed)
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    loss = -np.where(relevant, np.log(clipped), np.log1p(-clipped)).mean()
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


def expected_calibration_error(
    probabilities: NDArray[np.float64], relevant: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Return the expected calibration error, 0 to 1, over equally wide bins."""
    bin_numbers = _bin_numbers(probabilities, bins)
    error = 0.0
    for number in range(bins):
        in_bin = bin_numbers == number
        if in_bin.any():
            gap = abs(probabilities[in_bin].mean() - relevant[in_bin].mean())
            error += float(gap) * float(in_bin.mean())
    return error


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson, 1927); `count` is at least 1."""
    share, z2 = hits / count, _Z_95 * _Z_95
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z_95 / (1 + z2 / count)
    half *= math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, center - half), min(1.0, center + half)


def _bins(
    probabilities: NDArray[np.float64], relevant: NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    bin_numbers = _bin_numbers(probabilities, BINS)
    bins = []
    for number in range(BINS):
        in_bin = bin_numbers == number
        count = int(in_bin.sum())
        if not count:
            continue
        hits = int(relevant[in_bin].sum())
        promised = float(probabilities[in_bin].mean())
        edges = number / BINS, (number + 1) / BINS
        interval = wilson_interval(hits, count)
        bins.append(ReliabilityBin(*edges, count, promised, hits / count, *interval))
    return tuple(bins)


def _bin_numbers(probabilities: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.minimum((probabilities * bins).astype(np.int64), bins - 1)


def _bootstrap_interval(
    probabilities: NDArray[np.float64],
    relevant: NDArray[np.bool_],
    queries: NDArray[np.int64],
    seed: int,
) -> tuple[float, float]:
    # The error of a resample depends only on sums by query and bin, so no pair is copied.
    _, query = np.unique(queries, return_inverse=True)
    count = int(query.max()) + 1
    bin_numbers = _bin_numbers(probabilities, BINS)
    pairs, gaps = np.zeros((count, BINS)), np.zeros((count, BINS))
    np.add.at(pairs, (query, bin_numbers), 1.0)
    np.add.at(gaps, (query, bin_numbers), probabilities - relevant)
    generator = np.random.default_rng(seed)
    resamples = generator.multinomial(count, np.full(count, 1 / count), size=_BOOTSTRAP_ROUNDS)
    errors = np.abs(resamples @ gaps).sum(axis=1) / (resamples @ pairs).sum(axis=1)
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)
