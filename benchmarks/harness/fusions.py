"""Score normalizations: scores of different kinds on one scale, before they are summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from secondpass.evaluate.blend_weights import Columns, standardize_columns
from secondpass.evaluate.score_matrix import ScoreMatrix

Scales = Mapping[str, float]

STANDARD = "z-scores"


def by_terms(pool: ScoreMatrix) -> Columns:
    """Return the scores as they are, BM25 divided by the question's number of words."""
    return {**pool.columns, "bm25": pool.columns["bm25"] / pool.query_lengths[:, None]}


def by_maximum(pool: ScoreMatrix) -> Columns:
    """Return the scores as they are, BM25 divided by the highest of the list."""
    highest = pool.columns["bm25"].max(axis=1, keepdims=True)
    return {
        **pool.columns,
        "bm25": pool.columns["bm25"] / np.where(highest > 0, highest, 1.0),
    }


def only_bm25_by_maximum(pool: ScoreMatrix) -> Columns:
    """Return z-scores, but BM25 divided by the highest of the list."""
    return {**standardize_columns(pool), "bm25": by_maximum(pool)["bm25"]}


FUSIONS: Mapping[str, Callable[[ScoreMatrix], Columns]] = {
    STANDARD: standardize_columns,
    "raw, BM25 by the question's words": by_terms,
    "raw, BM25 by the list's maximum": by_maximum,
    "z-scores, BM25 by the list's maximum": only_bm25_by_maximum,
}


def column_deviations(
    pools: Sequence[ScoreMatrix], prepare: Callable[[ScoreMatrix], Columns]
) -> Scales:
    """Return each column's mean standard deviation within a question, over all pools.

    A grid over weights needs columns of about the same size. Judgments are not used.
    """
    deviations: dict[str, list[float]] = {}
    for pool in pools:
        n = np.maximum(pool.mask.sum(axis=1), 1)
        for name, values in prepare(pool).items():
            mean = np.where(pool.mask, values, 0.0).sum(axis=1) / n
            squares = np.where(pool.mask, values - mean[:, None], 0.0) ** 2
            deviation = np.sqrt(squares.sum(axis=1) / n)
            deviations.setdefault(name, []).append(float(deviation.mean()))
    return {name: max(float(np.mean(values)), 1e-12) for name, values in deviations.items()}
