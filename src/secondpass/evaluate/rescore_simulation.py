"""Simulation of a second reading from the known scores of its two models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secondpass.evaluate.score_matrix import FloatArray, ScoreMatrix, rank_positions
from secondpass.rerank.policies.blend import standardize


def window_positions(matrix: ScoreMatrix, scores: FloatArray, window: int) -> list[list[int]]:
    """Return the positions of the first candidates of each query, best first."""
    order = rank_positions(matrix, scores)[:, :window].tolist()
    return [
        [i for i in row if i < len(ids)] for ids, row in zip(matrix.ids, order, strict=True)
    ]


def add_rescored(
    matrix: ScoreMatrix,
    scores: FloatArray,
    positions: Sequence[Sequence[int]],
    read: Sequence[Sequence[float]],
    weight: float,
    shares: Sequence[float],
) -> FloatArray:
    """Return scores in standard deviations, with what `Rescored` adds to the first of them.

    - `positions`: of `window_positions`; `read`: the rescorer's scores there; `shares`: the
      share of the weight that counts, of each query (`weight_share`).
    """
    changed = np.zeros_like(scores)
    rows = zip(matrix.ids, positions, read, shares, strict=True)
    for row, (ids, first, again, share) in enumerate(rows):
        if not ids:
            continue
        changed[row, : len(ids)] = standardize(scores[row, : len(ids)].tolist())
        if len(first) > 1:
            added = standardize(list(again))
            changed[row, list(first)] += weight * share * (added - added.min())
    return changed
