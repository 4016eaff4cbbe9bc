"""Rank correlation: top-k overlap, Kendall's tau, rank-biased overlap."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def rank_order(scores: Float64) -> NDArray[np.int64]:
    """Return positions by falling score, ties by position."""
    return np.argsort(-scores, kind="stable").astype(np.int64)


def top_overlap(first: Float64, second: Float64, depth: int) -> float:
    """Return the share, 0 to 1, of the top `depth` that two lists of scores have in common."""
    depth = min(depth, len(first))
    common = set(rank_order(first)[:depth].tolist()) & set(rank_order(second)[:depth].tolist())
    return len(common) / depth


def kendall_tau(first: Float64, second: Float64) -> float:
    """Return Kendall's tau-a, -1 to 1: concordant less discordant pairs over all pairs."""
    upper = np.triu_indices(len(first), k=1)
    signs = [np.sign(x[:, None] - x[None, :])[upper] for x in (first, second)]
    return float((signs[0] * signs[1]).mean()) if len(upper[0]) else 1.0


def rank_biased_overlap(
    first: Sequence[Hashable], second: Sequence[Hashable], persistence: float = 0.9
) -> float:
    """Return the extrapolated rank-biased overlap of two rankings, 0 to 1.

    Compares them down to the length of the shorter one; two empty rankings have 1.
    Source: Webber, Moffat and Zobel, 2010, https://doi.org/10.1145/1852102.1852106,
    equation 32.
    """
    if not first and not second:
        return 1.0
    depth = min(len(first), len(second))
    if not depth:
        return 0.0
    seen_first, seen_second = set[Hashable](), set[Hashable]()
    overlap, total = 0, 0.0
    for k, (a, b) in enumerate(zip(first, second, strict=False), start=1):
        seen_first.add(a)
        seen_second.add(b)
        overlap += int(a == b) + int(a != b and a in seen_second)
        overlap += int(a != b and b in seen_first)
        total += persistence**k * overlap / k
    tail = overlap / depth * persistence**depth
    return tail + (1 - persistence) / persistence * total
