"""Rank correlation: overlap at a depth, Kendall's tau, rank-biased overlap."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def order(scores: Float64) -> NDArray[np.int64]:
    """Return positions by falling score, ties by position."""
    return np.argsort(-scores, kind="stable").astype(np.int64)


def top_overlap(one: Float64, other: Float64, depth: int) -> float:
    """Return the share, 0 to 1, of the first `depth` that both rankings have."""
    depth = min(depth, len(one))
    both = set(order(one)[:depth].tolist()) & set(order(other)[:depth].tolist())
    return len(both) / depth


def kendall_tau(one: Float64, other: Float64) -> float:
    """Return Kendall's tau-a, -1 to 1: concordant less discordant pairs over all pairs."""
    upper = np.triu_indices(len(one), k=1)
    signs = [np.sign(x[:, None] - x[None, :])[upper] for x in (one, other)]
    return float((signs[0] * signs[1]).mean()) if len(upper[0]) else 1.0


def rank_biased_overlap(
    one: Sequence[Hashable], other: Sequence[Hashable], persistence: float = 0.9
) -> float:
    """Return the rank-biased overlap of two rankings, 0 to 1, extrapolated.

    Compares them down to the length of the shorter one; two empty rankings are alike.
    Source: Webber, Moffat and Zobel, 2010, https://doi.org/10.1145/1852102.1852106,
    equation 32.
    """
    if not one and not other:
        return 1.0
    depth = min(len(one), len(other))
    if not depth:
        return 0.0
    seen_one, seen_other = set[Hashable](), set[Hashable]()
    agreed, total = 0, 0.0
    for k, (a, b) in enumerate(zip(one, other, strict=False), start=1):
        seen_one.add(a)
        seen_other.add(b)
        agreed += int(a == b) + int(a != b and a in seen_other) + int(a != b and b in seen_one)
        total += persistence**k * agreed / k
    tail = agreed / depth * persistence**depth
    return tail + (1 - persistence) / persistence * total
