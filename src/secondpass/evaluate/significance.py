"""Significance of differences between systems: effect sizes, intervals and paired tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import MissingExtraError
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.measures import per_query
from secondpass.evaluate.run import Run

ALPHA = 0.05
LEVEL = 0.95
POWER = 0.8
RESAMPLES = 10_000
RANDOMIZATION_ROUNDS = 20_000
_MIN_DIFFERENCE = 1e-9


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference between two systems over the same queries.

    - `mean`: of the differences; `low`, `high`: its 95 % bootstrap interval.
    - `size`: Cohen's d of the differences, mean over standard deviation; None where they
      do not vary.
    - `t`, `p`: two-sided p-values of the paired t-test and of the randomization test.
    - `detectable`: the smallest true mean that a t-test at 5 % with this many queries
      detects with a power of 80 %; None for fewer than two queries.
    - `won`, `tied`, `lost`: numbers of queries.
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of a run from an earlier one; `now` and `before` are mean values."""

    measure: str
    before: float
    now: float
    effect: Effect
    alpha: float

    @property
    def fell(self) -> bool:
        """Whether the measure fell significantly."""
        return self.effect.mean < 0 and self.effect.p < self.alpha


def compare(
    run: Run,
    against: Run,
    collection: Collection,
    *,
    measure: str = "nDCG@10",
    alpha: float = ALPHA,
) -> Comparison:
    """Compare a run with an earlier one, query by query.

    `fell` is True where the mean is lower and Fisher's randomization test (two-sided) has
    p below `alpha`, 0 to 1. A query that a run lacks counts as 0.
    """
    now = per_query(run, collection.qrels, [measure])[measure]
    before = per_query(against, collection.qrels, [measure])[measure]
    return Comparison(
        measure,
        float(before.mean()),
        float(now.mean()),
        estimate_effect(now - before),
        alpha,
    )


def estimate_effect(differences: NDArray[np.float64]) -> Effect:
    """Return the effect of paired differences, [queries]; seeded, so reproducible."""
    n = len(differences)
    mean = float(differences.mean()) if n else 0.0
    low, high = bootstrap_interval(differences)
    deviation = float(differences.std(ddof=1)) if n > 1 else 0.0
    won, tied, lost = win_tie_loss(differences)
    return Effect(
        mean=mean,
        low=low,
        high=high,
        size=mean / deviation if deviation > 0 else None,
        t=t_test(differences),
        p=randomization_test(differences),
        detectable=detectable_difference(deviation, n),
        won=won,
        tied=tied,
        lost=lost,
    )


def randomization_test(
    differences: NDArray[np.float64], rounds: int = RANDOMIZATION_ROUNDS
) -> float:
    """Return the two-sided p-value of paired differences, by flipping their signs.

    Fisher's randomization test as in Smucker et al., CIKM 2007; seeded, never 0.
    """
    if not len(differences):
        return 1.0
    generator = np.random.default_rng(0)
    observed = abs(differences.sum())
    as_extreme = done = 0
    while done < rounds:
        n = min(1000, rounds - done)
        signs = generator.integers(0, 2, size=(n, len(differences)), dtype=np.int8) * 2 - 1
        sums = abs(signs @ differences)
        as_extreme += int((sums >= observed - _MIN_DIFFERENCE).sum())
        done += n
    return (as_extreme + 1) / (rounds + 1)


def t_test(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Student's paired t-test.

    1 for fewer than two differences or where all are 0; 0 where all are equal and not 0.
    Raises MissingExtraError without scipy.
    """
    if len(differences) < 2:
        return 1.0
    if float(np.ptp(differences)) == 0.0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(scipy_stats().ttest_1samp(differences, 0.0).pvalue)


def holm_correction(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order (Holm, 1979)."""
    corrected, highest = [0.0] * len(ps), 0.0
    for i, position in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        highest = max(highest, min(1.0, (len(ps) - i) * ps[position]))
        corrected[position] = highest
    return corrected


def win_tie_loss(differences: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return how many queries were won, tied and lost."""
    won = int((differences > _MIN_DIFFERENCE).sum())
    lost = int((differences < -_MIN_DIFFERENCE).sum())
    return won, len(differences) - won - lost, lost


def bootstrap_interval(
    differences: NDArray[np.float64], level: float = LEVEL
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean, seeded.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. With
    a single query both ends are its value, which says nothing.
    """
    n = len(differences)
    if not n:
        return 0.0, 0.0
    generator = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    step = max(1, 2_000_000 // n)
    for start in range(0, RESAMPLES, step):
        stop = min(RESAMPLES, start + step)
        resamples = generator.integers(0, n, size=(stop - start, n))
        means[start:stop] = differences[resamples].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def detectable_difference(deviation: float, n: int) -> float | None:
    """Return the smallest mean difference that `n` queries can show, at 5 % and 80 %.

    `deviation` is that of the differences between queries (n - 1).
    """
    if n < 2:
        return None
    t = scipy_stats().t
    factor = float(t.ppf(0.5 + LEVEL / 2, n - 1) + t.ppf(POWER, n - 1))
    return factor * deviation / math.sqrt(n)


def queries_needed(difference: float, deviation: float) -> int | None:
    """Return about how many queries would show a difference; None for no difference."""
    if difference == 0:
        return None
    return max(2, math.ceil((2.802 * deviation / abs(difference)) ** 2))


def scipy_stats() -> Any:
    """Return `scipy.stats`, or raise MissingExtraError."""
    try:
        return import_module("scipy.stats")
    except ImportError as error:
        raise MissingExtraError("testing", package="scipy", extra="eval") from error
