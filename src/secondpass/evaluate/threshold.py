"""The least probability a result needs, and what it does to queries that did not choose it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.cross_fitting import NestedCrossFit
from secondpass.evaluate.measures import TOP_K
from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.variants import Listed, Rows, SearchVariant
from secondpass.rerank.policies.cascade import conformal_quantile, min_queries

_DIGITS = 4

Result = tuple[str, float | None]
"""The id that is judged, and the probability; None where the model did not score it."""


@dataclass(frozen=True)
class Threshold:
    """A `min_probability`, and what such a one does on queries that did not choose it.

    - `least`: chosen on all queries, so that a relevant result among the first `top_k`
      keeps its place with a chance of at least `keep`.
    - `kept`, `removed`: of the relevant results among the first `top_k`, the share that
      stays; of the others, the share that goes. 0 to 1, None where there were none.
    - `shown`, `shown_before`: results a query, at most `top_k`; `relevant` and
      `relevant_before`: the share of them that is.
    - `silent`: queries that have no result any more; `hidden`: those of them whose first
      `top_k` had a relevant one.
    - `value`: the mean of the measure over what is left.
    - `folds`: how many of the five had enough relevant results to choose a threshold; the
      queries of the others are counted as they were.
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
    """Raise InputError for a share that cannot be kept by so few relevant documents."""
    if not 0 < keep < 1:
        raise InputError(f"keep must lie between 0 and 1, and is {keep}")
    if relevant < min_queries(keep):
        raise InputError(
            f"{relevant} relevant documents are too few to keep {keep:.4g} of such",
            fix=f"Judge until {min_queries(keep)} are relevant, or give a lower --keep.",
        )


def least_probability(chances: Sequence[float | None], keep: float) -> float | None:
    """Return the highest threshold that keeps a further relevant result with that chance.

    `chances` are the probabilities of relevant results, None for those that no threshold
    keeps; `keep` is above 0 and below 1. Of n, the ceil((n + 1) · keep)-th highest is
    returned (see `conformal_quantile`), so at least the share `keep` of these is kept too. None
    where they are too few, or too many of them cannot be kept.
    """
    found = conformal_quantile([float("inf") if c is None else -c for c in chances], keep)
    return None if found is None or found == float("inf") else -found


def trimmed(results: Sequence[Result], least: float | None) -> list[Result]:
    """Return the results that a search with this `min_probability` shows; None keeps all."""
    if least is None:
        return list(results)
    return [
        (name, chance) for name, chance in results if chance is not None and chance >= least
    ]


def choose_threshold(
    best: tuple[SearchVariant, int],
    outer: NestedCrossFit,
    objective: Objective,
    qrels: Grades,
    *,
    keep: float,
    top_k: int = TOP_K,
) -> tuple[Threshold | None, str | None]:
    """Return the threshold for the way that was chosen, or why there is none.

    Each fold is judged by the way and the threshold that the other folds choose.
    """
    family, setting = best
    if family.listed is None:
        return None, "the way that was chosen has no second pass, so it has no probabilities"
    every = np.ones(len(qrels), dtype=np.bool_)
    results = family.listed(setting)
    if not any(chance is not None for row in results.values() for _, chance in row):
        return None, f"{family.model} gives no probabilities: secondpass calibrate fits some"
    least = _least(results, qrels, every, keep, top_k)
    if least is None:
        found = len(_relevant(results, qrels, every, top_k))
        return None, (
            f"{found} relevant results among the first {top_k} are too few to keep"
            f" {keep:.4g} of such, or a cascade ruled too many of them out"
        )
    before: Listed = {}
    bounds: dict[str, float | None] = {}
    folds = 0
    for (other, number), fold in zip(outer.picks, outer.folds, strict=True):
        rows, bound = _unscored(other, number), None
        if other.listed is not None:
            rows = other.listed(number)
            bound = _least(rows, qrels, ~fold, keep, top_k)
        folds += bound is not None
        for query, inside in zip(qrels, fold, strict=True):
            if inside:
                before[query], bounds[query] = rows[query], bound
    after = {q: trimmed(before[q], bounds[q]) for q in qrels}
    names = {q: list(dict.fromkeys(name for name, _ in row)) for q, row in after.items()}
    first = {q: before[q][:top_k] for q in qrels}
    stay = {q: trimmed(first[q], bounds[q]) for q in qrels}
    shown = {q: row[:top_k] for q, row in after.items()}
    hits, others = _count(first, qrels)
    hits_left, others_left = _count(stay, qrels)
    hits_shown, others_shown = _count(shown, qrels)
    silent = [q for q in qrels if first[q] and not after[q]]
    return Threshold(
        least,
        keep,
        top_k,
        _share(hits_left, hits),
        _share(others - others_left, others),
        (hits_shown + others_shown) / len(qrels),
        (hits + others) / len(qrels),
        _share(hits_shown, hits_shown + others_shown),
        _share(hits, hits + others),
        len(silent),
        sum(_hits(first[q], qrels[q]) > 0 for q in silent),
        float(objective.of(names).mean()),
        folds,
    ), None


def _least(results: Listed, qrels: Grades, rows: Rows, keep: float, top_k: int) -> float | None:
    found = least_probability(_relevant(results, qrels, rows, top_k), keep)
    return None if found is None else rounded_down(found)


def rounded_down(chance: float) -> float:
    """Return a probability with four digits that count, never a higher one."""
    exact = Decimal(repr(chance))
    if exact <= 0:
        return 0.0
    step = Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1)
    return float(exact.quantize(step, rounding=ROUND_FLOOR))


def _relevant(results: Listed, qrels: Grades, rows: Rows, top_k: int) -> list[float | None]:
    return [
        chance
        for (query, row), inside in zip(results.items(), rows, strict=True)
        if inside
        for name, chance in row[:top_k]
        if qrels[query].get(name, 0) > 0
    ]


def _unscored(family: SearchVariant, setting: int) -> Listed:
    return {q: [(name, None) for name in ids] for q, ids in family.ranked(setting).items()}


def _count(results: Listed, qrels: Grades) -> tuple[int, int]:
    """Return how many results are relevant, and how many are not."""
    hits = sum(_hits(row, qrels[q]) for q, row in results.items())
    return hits, sum(map(len, results.values())) - hits


def _hits(results: Sequence[Result], grades: Mapping[str, int]) -> int:
    return sum(grades.get(name, 0) > 0 for name, _ in results)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
