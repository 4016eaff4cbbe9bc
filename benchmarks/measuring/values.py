"""Every system's nDCG@10 on every question: what all tables and tests are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from measuring.fusions import FUSIONS, STANDARD
from measuring.subject import Subject
from measuring.suite import SETTINGS
from measuring.weighing import Fit, Weights, fit
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.score_matrix import COLUMNS, FloatArray, ScoreMatrix, ranked_ids

FIRST = "first stage"
ALONE = "reranker alone"
FUSED = "fused"
CONTROL = "no reranker"
DEFAULT = "fused, default weights"

Values = Mapping[str, FloatArray]
"""By collection, nDCG@10 of each question."""


@dataclass
class Measured:
    """What was measured.

    - `unfamiliar`: the collections unlike the training data; `searched`: those whose
      candidates were not given.
    - `values`: by setting, then by system, then by collection.
    - `recall`: by setting (and "vector"), then by collection; `vector`: nDCG@10 there.
    - `fits`: by system, the weights of `FUSED` and `CONTROL`; `others`: of the other ways
      to fuse, and in `fusions` their values by way and setting.
    """

    names: Sequence[str]
    unfamiliar: Sequence[str]
    searched: Sequence[str]
    values: dict[str, dict[str, Values]]
    recall: dict[str, dict[str, float]]
    vector: Values
    fits: dict[str, Fit]
    others: dict[str, Fit] = field(default_factory=dict)
    fusions: dict[str, dict[str, Values]] = field(default_factory=dict)

    def mean(self, setting: str, system: str, names: Sequence[str] | None = None) -> float:
        """Return the mean over collections of their means."""
        return mean(self.values[setting][system], self.names if names is None else names)


def measure(subjects: Sequence[Subject], depth: int, default: Weights) -> Measured:
    """Judge every system in every setting, by weights that never saw the collection.

    `default` weighs the row of that name, and the fused rows where there is a single
    collection and so nothing to fit on.
    """
    pools = {s.name: s.pools for s in subjects}
    reranked = all("rerank" in p.columns for s in subjects for p in s.pools.values())
    fits = {CONTROL: _with_fallback(fit(pools, COLUMNS[1:]), pools, default)}
    others: dict[str, Fit] = {}
    if reranked:
        fits[FUSED] = _with_fallback(fit(pools, COLUMNS), pools, default)
        if len(subjects) > 1:
            others = {n: fit(pools, COLUMNS, n) for n in FUSIONS if n != STANDARD}

    def judged(setting: str, system: str) -> Values:
        return {s.name: _judged(s, s.pools[setting], system, fits, default) for s in subjects}

    systems = (FIRST, ALONE, FUSED, CONTROL, DEFAULT) if reranked else (FIRST, CONTROL)
    measured = Measured(
        [s.name for s in subjects],
        [s.name for s in subjects if not s.member.familiar],
        [s.name for s in subjects if s.member.given is None],
        {setting: {name: judged(setting, name) for name in systems} for setting in SETTINGS},
        {
            setting: {
                s.name: s.judge.recall(_as_found(s.pools[setting]), depth) for s in subjects
            }
            for setting in SETTINGS
        },
        {s.name: s.judge.ndcg(s.vector) for s in subjects if s.vector},
        fits,
        others,
    )
    for name, other in others.items():
        measured.fusions[name] = {
            setting: {
                s.name: s.judge.ndcg(
                    ranked_ids(s.pools[setting], other.scores(s.name, s.pools[setting]))
                )
                for s in subjects
            }
            for setting in SETTINGS
        }
    return measured


def mean(values: Values, names: Sequence[str]) -> float:
    """Return the mean over the named collections of their means."""
    return float(np.mean([values[name].mean() for name in names])) if names else float("nan")


def union(values: Values, names: Sequence[str]) -> FloatArray:
    """Return the values of all questions of the named collections."""
    return np.concatenate([values[name] for name in names]) if names else np.zeros(0)


def _judged(
    subject: Subject, pool: ScoreMatrix, system: str, fits: Mapping[str, Fit], default: Weights
) -> FloatArray:
    if system == FIRST:
        return subject.judge.ndcg(_as_found(pool))
    if system == ALONE:
        scores = pool.columns["rerank"]
    elif system == DEFAULT:
        scores = weighted_sum(standardize_columns(pool), default)
    else:
        scores = fits[system].scores(subject.name, pool)
    return subject.judge.ndcg(ranked_ids(pool, scores))


def _as_found(pool: ScoreMatrix) -> dict[str, list[str]]:
    return dict(zip(pool.queries, pool.ids, strict=True))


def _with_fallback(fitted: Fit, pools: Mapping[str, object], default: Weights) -> Fit:
    if fitted.held:
        return fitted
    kept = {name: default[name] for name in fitted.everywhere}
    return Fit(fitted.fusion, dict.fromkeys(pools, kept), fitted.everywhere)
