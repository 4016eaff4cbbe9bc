"""How large a difference is, how surely it is known, and what could have been seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.evaluate.significance import randomisation_test, record, stats, t_test

RESAMPLES = 10_000
LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference between two systems over the same queries.

    - `mean`: of the differences; `low`, `high`: its 95 % bootstrap interval.
    - `size`: Cohen's d of the differences, mean over standard deviation; None where they
      do not vary.
    - `t`, `p`: two-sided p-values of the paired t-test and of the randomisation test.
    - `detectable`: the smallest true mean that a t-test at 5 % with this many queries
      would have seen with a chance of 80 %; None for fewer than two queries.
    - `won`, `tied`, `lost`: queries.
    """

    mean: float
    low: float
    high: float
    size: float | None
    t: float
    p: float
    detectable: float | None
    won: int
    tied: int
    lost: int

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


def effect(differences: NDArray[np.float64]) -> Effect:
    """Return what paired differences, [queries], say; the same every time."""
    n = len(differences)
    mean = float(differences.mean()) if n else 0.0
    low, high = interval(differences)
    deviation = float(differences.std(ddof=1)) if n > 1 else 0.0
    won, tied, lost = record(differences)
    return Effect(
        mean=mean,
        low=low,
        high=high,
        size=mean / deviation if deviation > 0 else None,
        t=t_test(differences),
        p=randomisation_test(differences),
        detectable=detectable(deviation, n),
        won=won,
        tied=tied,
        lost=lost,
    )


def interval(differences: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean, seeded.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. With
    a single query both ends are its value, which says nothing.
    """
    n = len(differences)
    if not n:
        return 0.0, 0.0
    chooser = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    step = max(1, 2_000_000 // n)
    for start in range(0, RESAMPLES, step):
        stop = min(RESAMPLES, start + step)
        drawn = chooser.integers(0, n, size=(stop - start, n))
        means[start:stop] = differences[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def detectable(deviation: float, n: int) -> float | None:
    """Return the smallest mean difference that `n` queries can show, at 5 % and 80 %.

    `deviation` is that of the differences between queries (n - 1).
    """
    if n < 2:
        return None
    t = stats().t
    factor = float(t.ppf(0.5 + LEVEL / 2, n - 1) + t.ppf(POWER, n - 1))
    return factor * deviation / math.sqrt(n)


def queries_needed(difference: float, deviation: float) -> int | None:
    """Return about how many queries would show a difference; None for no difference."""
    if difference == 0:
        return None
    return max(2, math.ceil((2.802 * deviation / abs(difference)) ** 2))
