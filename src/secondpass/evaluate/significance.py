"""Whether a difference in quality could be chance: paired tests, corrected for number."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import MissingExtraError

ROUNDS = 20_000


def randomisation_test(differences: NDArray[np.float64], rounds: int = ROUNDS) -> float:
    """Return the two-sided p-value of paired differences, by flipping their signs.

    Fisher's randomisation test as in Smucker et al., CIKM 2007; seeded, never 0.
    """
    if not len(differences):
        return 1.0
    chooser = np.random.default_rng(0)
    seen = abs(differences.sum())
    beyond = done = 0
    while done < rounds:
        n = min(1000, rounds - done)
        signs = chooser.integers(0, 2, size=(n, len(differences)), dtype=np.int8) * 2 - 1
        beyond += int((abs(signs @ differences) >= seen - 1e-9).sum())
        done += n
    return (beyond + 1) / (rounds + 1)


def t_test(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Student's paired t-test.

    1 for fewer than two differences or where all are 0; 0 where all are equal and not 0.
    Raises MissingExtraError without scipy.
    """
    if len(differences) < 2:
        return 1.0
    if float(np.ptp(differences)) == 0.0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats().ttest_1samp(differences, 0.0).pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the same order (Holm, 1979)."""
    corrected, highest = [0.0] * len(ps), 0.0
    for i, position in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        highest = max(highest, min(1.0, (len(ps) - i) * ps[position]))
        corrected[position] = highest
    return corrected


def record(differences: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return how many questions were won, tied and lost."""
    won, lost = int((differences > 1e-9).sum()), int((differences < -1e-9).sum())
    return won, len(differences) - won - lost, lost


def stats() -> Any:
    """Return scipy's module of statistics, or raise MissingExtraError."""
    try:
        return import_module("scipy.stats")
    except ImportError as error:
        raise MissingExtraError("testing", package="scipy", extra="eval") from error
