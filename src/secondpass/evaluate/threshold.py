"""Probability thresholds: a `min_probability`, and its effect on held-out queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.cross_fitting import NestedCrossFit
from secondpass.evaluate.defaults import TOP_K
from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.variants import QueryMask, RankedProbabilities, SearchVariant
from secondpass.rerank.policies.cascade import conformal_quantile, min_queries

_SIGNIFICANT_DIGITS = 4

RankedResult = tuple[str, float | None]
"""The judged id, and the probability; None where the model did not score it."""


@dataclass(frozen=True)
class Threshold:
    """A `min_probability`, and what thresholds chosen like it do on held-out queries.

    - `least`: the threshold, chosen on all queries, so that a relevant result among the
      first `top_k` stays with a probability of at least `keep`.
    - `kept`, `removed`: of the relevant results among the first `top_k`, the share that
      stays; of the others, the share that is removed. 0 to 1, None where there were none.
    - `shown`, `shown_before`: results a query, at most `top_k`; `relevant` and
      `relevant_before`: the share of them that is relevant.
    - `silent`: queries without any result left; `hidden`: those of them whose first
      `top_k` had a relevant one.
    - `value`: the mean of the measure over what is left.
    - `folds`: how many of the five had enough relevant results to choose a threshold; the
      queries of the others are counted without one.
    """

    least: float
    keep: float
    top_k: int
    kept: float | None
    removed: float | None
    shown: float
    shown_before: float
    relevant: float | None
    relevant_before: float | None
    silent: int
    hidden: int
    value: float
    folds: int


def check_keep(keep: float, relevant: int) -> None:
    """Raise InputError for a share that so few relevant documents cannot guarantee."""
    if not 0 < keep < 1:
        raise InputError(f"keep must lie between 0 and 1, and is {keep}")
    if relevant < min_queries(keep):
        raise InputError(
            f"{relevant} relevant documents are too few to keep {keep:.4g} of such",
            fix=f"Judge until {min_queries(keep)} are relevant, or give a lower --keep.",
        )


def conformal_threshold(probabilities: Sequence[float | None], keep: float) -> float | None:
    """Return the highest threshold that keeps a new relevant result with probability `keep`.

    `probabilities` are those of relevant results, None for a result that no threshold
    keeps; `keep` is above 0 and below 1. Of n, the ceil((n + 1) · keep)-th highest is
    returned (see `conformal_quantile`), so at least the share `keep` of these is kept too. None
    where they are too few, or too many of them cannot be kept.
    """
    bound = conformal_quantile([float("inf") if p is None else -p for p in probabilities], keep)
    return None if bound is None or bound == float("inf") else -bound


def filter_results(
    results: Sequence[RankedResult], min_probability: float | None
) -> list[RankedResult]:
    """Return the results of a search with this `min_probability`; None keeps all."""
    if min_probability is None:
        return list(results)
    return [
        (name, probability)
        for name, probability in results
        if probability is not None and probability >= min_probability
    ]


def choose_threshold(
    chosen: tuple[SearchVariant, int],
    outer_fit: NestedCrossFit,
    objective: Objective,
    qrels: Grades,
    *,
    keep: float,
    top_k: int = TOP_K,
) -> tuple[Threshold | None, str | None]:
    """Return the threshold for the chosen variant and setting, or why there is none.

    Each fold is evaluated with the variant and the threshold that the other folds choose.
    """
    variant, setting = chosen
    if variant.ranked_probabilities is None:
        return None, "the chosen settings have no second pass, so there are no probabilities"
    all_queries = np.ones(len(qrels), dtype=np.bool_)
    results = variant.ranked_probabilities(setting)
    if not any(probability is not None for row in results.values() for _, probability in row):
        return None, f"{variant.model} gives no probabilities: secondpass calibrate fits some"
    threshold = _choose(results, qrels, all_queries, keep, top_k)
    if threshold is None:
        relevant = len(_relevant_probabilities(results, qrels, all_queries, top_k))
        return None, (
            f"{relevant} relevant results among the first {top_k} are too few to keep"
            f" {keep:.4g} of such, or a cascade ruled too many of them out"
        )
    before, thresholds, folds = _held_out_thresholds(outer_fit, qrels, keep, top_k)
    after = {q: filter_results(before[q], thresholds[q]) for q in qrels}
    ranked_ids = {q: list(dict.fromkeys(name for name, _ in row)) for q, row in after.items()}
    top_before = {q: before[q][:top_k] for q in qrels}
    top_kept = {q: filter_results(top_before[q], thresholds[q]) for q in qrels}
    top_after = {q: row[:top_k] for q, row in after.items()}
    relevant_before, others_before = _count(top_before, qrels)
    relevant_kept, others_kept = _count(top_kept, qrels)
    relevant_after, others_after = _count(top_after, qrels)
    silent = [q for q in qrels if top_before[q] and not after[q]]
    return Threshold(
        threshold,
        keep,
        top_k,
        _share(relevant_kept, relevant_before),
        _share(others_before - others_kept, others_before),
        (relevant_after + others_after) / len(qrels),
        (relevant_before + others_before) / len(qrels),
        _share(relevant_after, relevant_after + others_after),
        _share(relevant_before, relevant_before + others_before),
        len(silent),
        sum(_count_relevant(top_before[q], qrels[q]) > 0 for q in silent),
        float(objective.of_rankings(ranked_ids).mean()),
        folds,
    ), None


def _held_out_thresholds(
    outer_fit: NestedCrossFit, qrels: Grades, keep: float, top_k: int
) -> tuple[RankedProbabilities, dict[str, float | None], int]:
    """Return each query's results and threshold by the other folds, and how many had one."""
    results: RankedProbabilities = {}
    thresholds: dict[str, float | None] = {}
    folds = 0
    for (variant, setting), fold in zip(outer_fit.choices, outer_fit.folds, strict=True):
        if variant.ranked_probabilities is None:
            fold_results, threshold = _without_probabilities(variant, setting), None
        else:
            fold_results = variant.ranked_probabilities(setting)
            threshold = _choose(fold_results, qrels, ~fold, keep, top_k)
        folds += threshold is not None
        for query, in_fold in zip(qrels, fold, strict=True):
            if in_fold:
                results[query], thresholds[query] = fold_results[query], threshold
    return results, thresholds, folds


def _choose(
    results: RankedProbabilities, qrels: Grades, queries: QueryMask, keep: float, top_k: int
) -> float | None:
    probabilities = _relevant_probabilities(results, qrels, queries, top_k)
    threshold = conformal_threshold(probabilities, keep)
    return None if threshold is None else round_down(threshold)


def round_down(probability: float) -> float:
    """Return a probability with four significant digits, never a higher one."""
    exact = Decimal(repr(probability))
    if exact <= 0:
        return 0.0
    step = Decimal(1).scaleb(exact.adjusted() - _SIGNIFICANT_DIGITS + 1)
    return float(exact.quantize(step, rounding=ROUND_FLOOR))


def _relevant_probabilities(
    results: RankedProbabilities, qrels: Grades, queries: QueryMask, top_k: int
) -> list[float | None]:
    return [
        probability
        for (query, row), selected in zip(results.items(), queries, strict=True)
        if selected
        for name, probability in row[:top_k]
        if qrels[query].get(name, 0) > 0
    ]


def _without_probabilities(variant: SearchVariant, setting: int) -> RankedProbabilities:
    ranked = variant.ranked_ids(setting)
    return {q: [(name, None) for name in ids] for q, ids in ranked.items()}


def _count(results: RankedProbabilities, qrels: Grades) -> tuple[int, int]:
    """Return how many results are relevant, and how many are not."""
    relevant = sum(_count_relevant(row, qrels[q]) for q, row in results.items())
    return relevant, sum(map(len, results.values())) - relevant


def _count_relevant(results: Sequence[RankedResult], grades: Mapping[str, int]) -> int:
    return sum(grades.get(name, 0) > 0 for name, _ in results)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
