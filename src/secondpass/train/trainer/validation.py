"""How well scores put a group's positives on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def ranks(scores: Float64, positives: int) -> NDArray[np.int64]:
    """Return the ranks, from 1, of the first `positives` items; at a tie the others win."""
    good, bad = scores[:positives], scores[positives:]
    before = (bad[None, :] >= good[:, None]).sum(axis=1)
    place = np.argsort(np.argsort(-good, kind="stable"), kind="stable")
    return np.asarray(before + place + 1, dtype=np.int64)


def reciprocal_rank(found: NDArray[np.int64]) -> float:
    """Return 1 over the rank of the first positive."""
    return 1 / int(found.min())


def ndcg(found: NDArray[np.int64], depth: int = 10) -> float:
    """Return nDCG, 0 to 1, at `depth`, of positives that are all equally good."""
    gain = sum(1 / np.log2(rank + 1) for rank in found.tolist() if rank <= depth)
    best = sum(1 / np.log2(rank + 1) for rank in range(1, min(depth, len(found)) + 1))
    return float(gain / best)


def macro(values: Sequence[float], sources: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Return the mean over sources of the mean of each source, and those of the sources."""
    by_source: dict[str, list[float]] = {}
    for value, source in zip(values, sources, strict=True):
        by_source.setdefault(source, []).append(value)
    means = {source: float(np.mean(found)) for source, found in sorted(by_source.items())}
    return float(np.mean(list(means.values()))), means
