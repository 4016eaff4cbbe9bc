"""Two models on the same candidates, fused by the same weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from measuring.bars import Bar
from measuring.subject import Subject
from measuring.suite import SETTINGS
from measuring.values import ALONE, FUSED, Values, mean, union
from measuring.weighing import Fit, Weights
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.rank_correlation import rank_biased_overlap
from secondpass.evaluate.score_matrix import CUTOFF, FloatArray, ScoreMatrix, ranked_ids
from secondpass.evaluate.significance import randomization_test

SYSTEMS = (ALONE, FUSED)


@dataclass(frozen=True)
class Difference:
    """The other model less the first, as the mean over collections of nDCG@10.

    `overlap` is rank-biased overlap (p = .9) of the top 10, the mean over collections.
    """

    setting: str
    system: str
    one: float
    other: float
    p: float
    overlap: float


def compare(
    ones: Sequence[Subject], others: Sequence[Subject], weights: Fit
) -> list[Difference]:
    """Compare two models; each collection is fused by the first model's held-out weights."""
    differences = []
    for setting in SETTINGS:
        for system in SYSTEMS:
            values: tuple[dict[str, FloatArray], dict[str, FloatArray]] = ({}, {})
            overlaps: dict[str, FloatArray] = {}
            for one, other in zip(ones, others, strict=True):
                pairs = [
                    ranked_ids(p, _scores(p, system, weights.held[one.name]))
                    for p in (one.pools[setting], other.pools[setting])
                ]
                for judged, ranked in zip(values, pairs, strict=True):
                    judged[one.name] = one.judge.ndcg(ranked)
                overlaps[one.name] = np.array(
                    [
                        rank_biased_overlap(ids[:CUTOFF], pairs[1][q][:CUTOFF])
                        for q, ids in pairs[0].items()
                    ]
                )
            differences.append(_difference(setting, system, *values, overlaps))
    return differences


def comparison_bars(
    differences: Sequence[Difference], within: float, overlap: float
) -> Iterator[Bar]:
    """Yield whether the two models are as good as each other, and order alike."""
    for d in differences:
        title = f"{SETTINGS[d.setting]}, {d.system}"
        change = d.other - d.one
        yield Bar(
            f"{title}: means differ by {change:+.4f}, at most {within}", abs(change) <= within
        )
        if overlap:
            yield Bar(
                f"{title}: rank-biased overlap {d.overlap:.4f}, at least {overlap}",
                d.overlap >= overlap,
            )


def _scores(pool: ScoreMatrix, system: str, weights: Weights) -> FloatArray:
    if system == ALONE:
        return pool.columns["rerank"]
    return weighted_sum(standardize_columns(pool), weights)


def _difference(
    setting: str, system: str, one: Values, other: Values, overlaps: Values
) -> Difference:
    names = list(one)
    return Difference(
        setting,
        system,
        mean(one, names),
        mean(other, names),
        randomization_test(union(other, names) - union(one, names)),
        mean(overlaps, names),
    )
