"""How alike the tops of two rankings are."""

from __future__ import annotations

from collections.abc import Sequence


def rank_biased_overlap(
    one: Sequence[str], other: Sequence[str], persistence: float = 0.9
) -> float:
    """Return rank-biased overlap of two lists of equal length, 0 to 1, extrapolated.

    Source: Webber, Moffat and Zobel, 2010, https://doi.org/10.1145/1852102.1852106,
    equation 32. Two empty lists are alike.
    """
    if not one and not other:
        return 1.0
    total, agreed, depth = 0.0, 0, 0
    for depth in range(1, min(len(one), len(other)) + 1):
        agreed = len(set(one[:depth]) & set(other[:depth]))
        total += persistence**depth * agreed / depth
    if not depth:
        return 0.0
    tail = agreed / depth * persistence**depth
    return tail + (1 - persistence) / persistence * total
