"""Fusion of several rankings into one: pure functions over lists of (id, score).

Every function takes rankings in any order and returns the union of their ids, by falling
fused score, then by id. Ranks are counted within each ranking. An id that occurs twice in a
ranking counts with its best score. The order of the rankings does not matter (their weights
move with them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from secondpass.errors import InputError, nearest

Ranking = Sequence[tuple[str, float]]
Fused = list[tuple[str, float]]
Parts = dict[str, tuple[float, tuple[float, ...]]]
"""By id, the fused score and what each ranking contributes to it."""

Method = Callable[[Sequence[Ranking], Sequence[float] | None], Parts]
"""A fusion method, of rankings and their weights."""


def rrf(
    rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None, k: float = 60
) -> Fused:
    """Fuse by reciprocal rank: the sum of weight / (k + rank), ranks from 1.

    A ranking contributes nothing to an id that it lacks. Ties in a ranking are ordered by
    id. Source: Cormack, Clarke and Büttcher, SIGIR 2009.
    """
    return _rank(_rrf_parts(rankings, weights, k))


def weighted(
    rankings: Sequence[Ranking],
    *,
    weights: Sequence[float] | None = None,
    normalize: str = "min-max",
) -> Fused:
    """Fuse by the weighted mean of normalized scores; weights are scaled to sum to 1.

    - `min-max`: lowest 0, highest 1; 1 for all where all are equal. Missing: 0.
    - `z-score`: (score - mean) / standard deviation; 0 for all where all are equal.
      Missing: the lowest z of the ranking, and -1 where all are equal.
    """
    return _rank(_weighted_parts(rankings, weights, normalize))


def dbsf(rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None) -> Fused:
    """Fuse by distribution: the sum of scores scaled so that mean -/+ 3 sigma is 0 to 1.

    Sigma is the sample's (n - 1). A ranking of one item or of equal scores gives .5 each.
    Missing: 0. Scores beyond three sigma are not clipped. Source: Qdrant's
    distribution-based score fusion.
    """
    return _rank(_dbsf_parts(rankings, weights))


METHODS: Mapping[str, Method] = {
    "rrf": lambda rankings, weights: _rrf_parts(rankings, weights, 60),
    "weighted": lambda rankings, weights: _weighted_parts(rankings, weights, "min-max"),
    "weighted-z-score": lambda rankings, weights: _weighted_parts(rankings, weights, "z-score"),
    "dbsf": lambda rankings, weights: _dbsf_parts(rankings, weights),
}


def fuse(
    rankings: Sequence[Ranking],
    method: str = "rrf",
    weights: Sequence[float] | None = None,
) -> Fused:
    """Fuse by the named method, one of METHODS.

    Raises InputError for an unknown method, a score that is not finite, and weights that
    are negative, not finite, all zero or not one for each ranking.
    """
    return _rank(fuse_parts(rankings, method, weights))


def fuse_parts(
    rankings: Sequence[Ranking],
    method: str | Method = "rrf",
    weights: Sequence[float] | None = None,
) -> Parts:
    """Fuse as `fuse` does, and return each ranking's contribution, weight included.

    `method` may also be a function, such as `max_share`.
    """
    if not isinstance(method, str):
        return method(rankings, weights)
    check_method(method)
    return METHODS[method](rankings, weights)


def max_share(rankings: Sequence[Ranking], weights: Sequence[float] | None = None) -> Parts:
    """Fuse by the highest score, each as a share of the best score of its ranking.

    For scores from 0 up. A ranking whose best score is 0 contributes 0. Not in METHODS.
    Source: the fusion method "max" of Cloudflare's AI Search.
    """
    checked = _check_weights(weights, len(rankings))
    scores = []
    for ranking in _best_scores(rankings):
        best = ranking[0][1] if ranking else 0.0
        scores.append({name: score / best if best > 0 else 0.0 for name, score in ranking})
    parts = _combine(scores, checked, [0.0] * len(scores))
    return {name: (max(each), each) for name, (_, each) in parts.items()}


def check_method(method: str) -> None:
    """Raise InputError where `method` is none of METHODS."""
    if method not in METHODS:
        raise InputError(f"unknown fusion {method!r}", fix=nearest(str(method), METHODS))


def _rrf_parts(rankings: Sequence[Ranking], weights: Sequence[float] | None, k: float) -> Parts:
    if not math.isfinite(k) or k < 0:
        raise InputError("k cannot be used", why=f"it is {k}", fix="Give a number from 0 up.")
    scores = [
        {name: 1.0 / (k + rank) for rank, (name, _) in enumerate(ranking, 1)}
        for ranking in _best_scores(rankings)
    ]
    return _combine(scores, _check_weights(weights, len(scores)), [0.0] * len(scores))


def _weighted_parts(
    rankings: Sequence[Ranking], weights: Sequence[float] | None, normalize: str
) -> Parts:
    scales: Mapping[str, Callable[[list[float]], tuple[list[float], float]]] = {
        "min-max": _min_max,
        "z-score": _z_scores,
    }
    if normalize not in scales:
        raise InputError(f"unknown normalization {normalize!r}", fix=nearest(normalize, scales))
    checked = _check_weights(weights, len(rankings))
    total = math.fsum(checked)
    return _scale(_best_scores(rankings), [w / total for w in checked], scales[normalize])


def _dbsf_parts(rankings: Sequence[Ranking], weights: Sequence[float] | None) -> Parts:
    checked = _check_weights(weights, len(rankings))
    return _scale(_best_scores(rankings), checked, _three_sigma)


def _best_scores(rankings: Sequence[Ranking]) -> list[list[tuple[str, float]]]:
    """Return the rankings, best first, each id once with its best score."""
    result = []
    for ranking in rankings:
        best: dict[str, float] = {}
        for name, score in ranking:
            if not math.isfinite(score):
                raise InputError("a score is not a finite number", why=f"{name!r} has {score}")
            if name not in best or score > best[name]:
                best[name] = score
        result.append(sorted(best.items(), key=_by_score))
    return result


def _check_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    numbers = [float(w) for w in weights]
    why = None
    if len(numbers) != count:
        why = f"{len(numbers)} were given for {count} rankings"
    elif not all(math.isfinite(w) and w >= 0 for w in numbers):
        why = f"{numbers} has one that is negative or not finite"
    elif count and not any(numbers):
        why = "all of them are zero"
    if why is not None:
        raise InputError(
            "the weights cannot be used", why=why, fix="Give one number from 0 up for each."
        )
    return numbers


def _scale(
    rankings: list[list[tuple[str, float]]],
    weights: list[float],
    scale: Callable[[list[float]], tuple[list[float], float]],
) -> Parts:
    """Combine rankings by scaled scores; `scale` also returns the score of a missing id."""
    scores: list[dict[str, float]] = []
    missing: list[float] = []
    for ranking in rankings:
        if not ranking:
            scores.append({})
            missing.append(0.0)
            continue
        values, absent = scale([score for _, score in ranking])
        scores.append({name: v for (name, _), v in zip(ranking, values, strict=True)})
        missing.append(absent)
    return _combine(scores, weights, missing)


def _min_max(scores: list[float]) -> tuple[list[float], float]:
    low, high = min(scores), max(scores)
    if low == high:
        return [1.0] * len(scores), 0.0
    # Halved before subtracting, so that huge scores of both signs do not overflow.
    span = high / 2 - low / 2
    return [(s / 2 - low / 2) / span for s in scores], 0.0


def _z_scores(scores: list[float]) -> tuple[list[float], float]:
    mean = math.fsum(s / len(scores) for s in scores)
    sigma = _sigma(scores, mean, len(scores))
    if sigma == 0:
        return [0.0] * len(scores), -1.0
    values = [(s - mean) / sigma for s in scores]
    return values, min(values)


def _three_sigma(scores: list[float]) -> tuple[list[float], float]:
    mean = math.fsum(s / len(scores) for s in scores)
    sigma = _sigma(scores, mean, len(scores) - 1)
    if sigma == 0:
        return [0.5] * len(scores), 0.0
    return [0.5 + (s - mean) / (6 * sigma) for s in scores], 0.0


def _sigma(scores: list[float], mean: float, divisor: int) -> float:
    # Equal scores must give exactly 0: their mean may be off by one rounding.
    if divisor == 0 or min(scores) == max(scores):
        return 0.0
    return math.hypot(*(s - mean for s in scores)) / math.sqrt(divisor)


def _combine(
    scores: list[dict[str, float]], weights: list[float], missing: list[float]
) -> Parts:
    result: Parts = {}
    for name in {name for ranking in scores for name in ranking}:
        parts = tuple(
            weight * ranking.get(name, absent)
            for ranking, weight, absent in zip(scores, weights, missing, strict=True)
        )
        result[name] = math.fsum(parts), parts
    return result


def _rank(parts: Parts) -> Fused:
    return sorted(((name, score) for name, (score, _) in parts.items()), key=_by_score)


def _by_score(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]
