"""Fusing several rankings into one: pure functions over lists of (id, score).

Every function takes rankings in any order and gives the union of their ids, by falling
fused score, then by id. Ranks are counted within each ranking, never over all of them.
Where an id stands twice in a ranking, its best score counts. The result does not depend
on the order of the rankings (their weights move with them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from secondpass.errors import InputError, nearest

Ranking = Sequence[tuple[str, float]]
Fused = list[tuple[str, float]]


def rrf(
    rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None, k: float = 60
) -> Fused:
    """Fuse by reciprocal rank: the sum of weight / (k + rank), ranks from 1.

    An id that a ranking lacks gets nothing from it. Equal scores in a ranking stand in
    order of id. Source: Cormack, Clarke and Büttcher, SIGIR 2009.
    """
    if not math.isfinite(k) or k < 0:
        raise InputError("k cannot be used", why=f"it is {k}", fix="Give a number from 0 up.")
    parts = [
        {name: 1.0 / (k + rank) for rank, (name, _) in enumerate(ranking, 1)}
        for ranking in _cleaned(rankings)
    ]
    return _summed(parts, _checked(weights, len(parts)), [0.0] * len(parts))


def weighted(
    rankings: Sequence[Ranking],
    *,
    weights: Sequence[float] | None = None,
    normalise: str = "min-max",
) -> Fused:
    """Fuse by the weighted mean of normalised scores; weights are scaled to sum to 1.

    - `min-max`: lowest 0, highest 1; 1 for all where all are equal. Missing: 0.
    - `z-score`: (score - mean) / standard deviation; 0 for all where all are equal.
      Missing: the lowest z of the ranking, and -1 where all are equal.
    """
    known: Mapping[str, Callable[[list[float]], tuple[list[float], float]]] = {
        "min-max": _min_max,
        "z-score": _z_scores,
    }
    if normalise not in known:
        raise InputError(f"unknown normalisation {normalise!r}", fix=nearest(normalise, known))
    cleaned = _cleaned(rankings)
    given = _checked(weights, len(cleaned))
    total = math.fsum(given)
    return _scaled(cleaned, [w / total for w in given], known[normalise])


def dbsf(rankings: Sequence[Ranking], *, weights: Sequence[float] | None = None) -> Fused:
    """Fuse by distribution: the sum of scores scaled so that mean -/+ 3 sigma is 0 to 1.

    Sigma is the sample's (n - 1). A ranking of one item or of equal scores gives .5 each.
    Missing: 0. Scores beyond three sigma are not clipped. Source: Qdrant's
    distribution-based score fusion.
    """
    cleaned = _cleaned(rankings)
    return _scaled(cleaned, _checked(weights, len(cleaned)), _three_sigma)


METHODS: Mapping[str, Callable[[Sequence[Ranking], Sequence[float] | None], Fused]] = {
    "rrf": lambda rankings, weights: rrf(rankings, weights=weights),
    "weighted": lambda rankings, weights: weighted(rankings, weights=weights),
    "weighted-z-score": lambda rankings, weights: weighted(
        rankings, weights=weights, normalise="z-score"
    ),
    "dbsf": lambda rankings, weights: dbsf(rankings, weights=weights),
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
    check_method(method)
    return METHODS[method](rankings, weights)


def check_method(method: str) -> None:
    """Raise InputError where `method` is none of METHODS."""
    if method not in METHODS:
        raise InputError(f"unknown fusion {method!r}", fix=nearest(str(method), METHODS))


def _cleaned(rankings: Sequence[Ranking]) -> list[list[tuple[str, float]]]:
    cleaned = []
    for ranking in rankings:
        best: dict[str, float] = {}
        for name, score in ranking:
            if not math.isfinite(score):
                raise InputError("a score is not a finite number", why=f"{name!r} has {score}")
            if name not in best or score > best[name]:
                best[name] = score
        cleaned.append(sorted(best.items(), key=_by_score))
    return cleaned


def _checked(weights: Sequence[float] | None, n: int) -> list[float]:
    if weights is None:
        return [1.0] * n
    given = [float(w) for w in weights]
    why = None
    if len(given) != n:
        why = f"{len(given)} were given for {n} rankings"
    elif not all(math.isfinite(w) and w >= 0 for w in given):
        why = f"{given} has one that is negative or not finite"
    elif n and not any(given):
        why = "all of them are zero"
    if why is not None:
        raise InputError(
            "the weights cannot be used", why=why, fix="Give one number from 0 up for each."
        )
    return given


def _scaled(
    cleaned: list[list[tuple[str, float]]],
    weights: list[float],
    scale: Callable[[list[float]], tuple[list[float], float]],
) -> Fused:
    parts: list[dict[str, float]] = []
    missing: list[float] = []
    for ranking in cleaned:
        if not ranking:
            parts.append({})
            missing.append(0.0)
            continue
        values, absent = scale([score for _, score in ranking])
        parts.append({name: v for (name, _), v in zip(ranking, values, strict=True)})
        missing.append(absent)
    return _summed(parts, weights, missing)


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


def _summed(parts: list[dict[str, float]], weights: list[float], missing: list[float]) -> Fused:
    names = {name for part in parts for name in part}
    fused = [
        (
            name,
            math.fsum(
                w * part.get(name, absent)
                for part, w, absent in zip(parts, weights, missing, strict=True)
            ),
        )
        for name in names
    ]
    return sorted(fused, key=_by_score)


def _by_score(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]
