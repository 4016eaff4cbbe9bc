"""Whether a difference in quality could be chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
