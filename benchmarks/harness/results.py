"""Results: nDCG@10 of every system on every question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.fusion_weights import FittedWeights, Weights, fit_weights
from harness.fusions import FUSIONS, STANDARD
from harness.scored_collection import ScoredCollection
from harness.suite import SETTINGS
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.score_matrix import (
    COLUMNS,
    NEIGHBORS,
    FloatArray,
    ScoreMatrix,
    ranked_ids,
)

FIRST = "first stage"
ALONE = "reranker alone"
FUSED = "fused"
READ_AGAIN = "questions read again"
WITH_NEIGHBORS = "fused with neighbors"
CONTROL = "no reranker"
DEFAULT = "fused, default weights"

Values = Mapping[str, FloatArray]
"""By collection, nDCG@10 of each question."""


@dataclass
class QualityResults:
    """The results of the quality benchmark.

    - `out_of_domain`: the collections unlike the training data; `searched`: those without a
      candidates file.
    - `values`: by setting, then by system, then by collection.
    - `recall`: by setting (and "vector"), then by collection; `vector`: nDCG@10 there.
    - `fits`: by system, the weights of `FUSED`, `CONTROL` and, where score matrices have a
      column of neighbors, `WITH_NEIGHBORS`; `others`: those of the other
      fusions, and in `fusions` their values by fusion and setting.
    """

    names: Sequence[str]
    out_of_domain: Sequence[str]
    searched: Sequence[str]
    values: dict[str, dict[str, Values]]
    recall: dict[str, dict[str, float]]
    vector: Values
    fits: dict[str, FittedWeights]
    others: dict[str, FittedWeights] = field(default_factory=dict)
    fusions: dict[str, dict[str, Values]] = field(default_factory=dict)

    def mean(self, setting: str, system: str, names: Sequence[str] | None = None) -> float:
        """Return the mean over collections of their means."""
        return mean(self.values[setting][system], self.names if names is None else names)


def measure_quality(
    collections: Sequence[ScoredCollection], depth: int, default: Weights
) -> QualityResults:
    """Evaluate every system in every setting, by weights fitted on the other collections.

    `default` are the weights of the row of that name, and of the fused rows if there is a
    single collection and so nothing to fit on.
    """
    pools = {s.name: s.pools for s in collections}

    def has(column: str) -> bool:
        return all(column in p.columns for s in collections for p in s.pools.values())

    reranked = has("rerank")
    fits = {CONTROL: _with_fallback(fit_weights(pools, COLUMNS[1:]), pools, default)}
    others: dict[str, FittedWeights] = {}
    if reranked:
        fits[FUSED] = _with_fallback(fit_weights(pools, COLUMNS), pools, default)
        if len(collections) > 1:
            others = {n: fit_weights(pools, COLUMNS, n) for n in FUSIONS if n != STANDARD}
    if has(NEIGHBORS):
        fitted = fit_weights(pools, (*COLUMNS, NEIGHBORS))
        fits[WITH_NEIGHBORS] = _with_fallback(fitted, pools, default)

    def values(setting: str, system: str) -> Values:
        return {
            s.name: _evaluate(s, s.pools[setting], system, fits, default) for s in collections
        }

    systems = [FIRST, CONTROL]
    if reranked:
        systems = [FIRST, ALONE, FUSED, CONTROL, DEFAULT]
    if WITH_NEIGHBORS in fits:
        systems.append(WITH_NEIGHBORS)
    results = QualityResults(
        [s.name for s in collections],
        [s.name for s in collections if not s.collection_settings.in_domain],
        [s.name for s in collections if s.collection_settings.candidates_file is None],
        {setting: {name: values(setting, name) for name in systems} for setting in SETTINGS},
        {
            setting: {
                s.name: s.evaluator.recall(_first_stage_order(s.pools[setting]), depth)
                for s in collections
            }
            for setting in SETTINGS
        },
        {s.name: s.evaluator.ndcg(s.vector) for s in collections if s.vector},
        fits,
        others,
    )
    for name, other in others.items():
        results.fusions[name] = {
            setting: {
                s.name: s.evaluator.ndcg(
                    ranked_ids(s.pools[setting], other.scores(s.name, s.pools[setting]))
                )
                for s in collections
            }
            for setting in SETTINGS
        }
    return results


def mean(values: Values, names: Sequence[str]) -> float:
    """Return the mean over the named collections of their means."""
    return float(np.mean([values[name].mean() for name in names])) if names else float("nan")


def union(values: Values, names: Sequence[str]) -> FloatArray:
    """Return the values of all questions of the named collections."""
    return np.concatenate([values[name] for name in names]) if names else np.zeros(0)


def _evaluate(
    collection: ScoredCollection,
    pool: ScoreMatrix,
    system: str,
    fits: Mapping[str, FittedWeights],
    default: Weights,
) -> FloatArray:
    if system == FIRST:
        return collection.evaluator.ndcg(_first_stage_order(pool))
    if system == ALONE:
        scores = pool.columns["rerank"]
    elif system == DEFAULT:
        scores = weighted_sum(standardize_columns(pool), default)
    else:
        scores = fits[system].scores(collection.name, pool)
    return collection.evaluator.ndcg(ranked_ids(pool, scores))


def _first_stage_order(pool: ScoreMatrix) -> dict[str, list[str]]:
    return dict(zip(pool.queries, pool.ids, strict=True))


def _with_fallback(
    fitted: FittedWeights, pools: Mapping[str, object], default: Weights
) -> FittedWeights:
    if fitted.held_out:
        return fitted
    weights = {name: default.get(name, 0.0) for name in fitted.on_all_collections}
    return FittedWeights(
        fitted.fusion, dict.fromkeys(pools, weights), fitted.on_all_collections
    )
