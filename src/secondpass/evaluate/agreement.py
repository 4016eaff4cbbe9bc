"""How far two judges agree beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.qrels import Grades

_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Agreement:
    """Cohen's kappa of two judges over the pairs that both have graded.

    - `kappa`: over grades as they are; `weighted`: with quadratic weights, so that 2
      against 3 is a smaller matter than 0 against 3; `binary`: of relevant or not.
      1 is perfect, 0 what chance gives; None where one judge has only ever said one thing
      and kappa is not defined.
    - `low`, `high`: the 95% interval of `kappa`, by the bootstrap over queries.
    - `same`: the share of pairs with equal grades.
    """

    pairs: int
    queries: int
    same: float
    kappa: float | None
    low: float | None
    high: float | None
    weighted: float | None
    binary: float | None


def agreement(first: Grades, second: Grades, *, least_grade: int = 1) -> Agreement:
    """Compare two judges; raises `InputError` if no pair was graded by both.

    Cohen, 1960; the weights are of Cohen, 1968.
    """
    rows = [
        (query, grade, second[query][document])
        for query, grades in first.items()
        if query in second
        for document, grade in grades.items()
        if document in second[query]
    ]
    if not rows:
        raise InputError(
            "The two judges have no pair in common",
            fix="Let both judge the same queries, from the same index, with the same seed.",
        )
    a, b = [x for _, x, _ in rows], [y for _, _, y in rows]
    by_query: dict[str, list[int]] = {}
    for place, (query, _, _) in enumerate(rows):
        by_query.setdefault(query, []).append(place)
    low, high = _interval(a, b, list(by_query.values()))
    return Agreement(
        pairs=len(rows),
        queries=len(by_query),
        same=sum(x == y for x, y in zip(a, b, strict=True)) / len(rows),
        kappa=cohen_kappa(a, b),
        low=low,
        high=high,
        weighted=cohen_kappa(a, b, quadratic=True),
        binary=cohen_kappa([x >= least_grade for x in a], [y >= least_grade for y in b]),
    )


def cohen_kappa(a: Sequence[int], b: Sequence[int], *, quadratic: bool = False) -> float | None:
    """Return Cohen's kappa of two lists of grades of one length, at least 1, or None.

    None where chance alone explains full agreement: both have said one thing only.
    """
    values = sorted({*a, *b})
    place = {value: i for i, value in enumerate(values)}
    table = np.zeros((len(values), len(values)))
    np.add.at(table, ([place[x] for x in a], [place[y] for y in b]), 1.0 / len(a))
    scale = np.array(values, dtype=np.float64)
    apart = (scale[:, None] - scale[None, :]) ** 2
    cost = apart if quadratic else 1.0 - np.eye(len(values))
    chance = float((cost * np.outer(table.sum(axis=1), table.sum(axis=0))).sum())
    if chance == 0:
        return None
    return 1 - float((cost * table).sum()) / chance


def _interval(
    a: Sequence[int], b: Sequence[int], queries: Sequence[Sequence[int]]
) -> tuple[float | None, float | None]:
    chance = np.random.default_rng(0)
    found = []
    for _ in range(_ROUNDS if len(queries) > 1 else 0):
        drawn = [
            p for q in chance.integers(len(queries), size=len(queries)) for p in queries[q]
        ]
        kappa = cohen_kappa([a[p] for p in drawn], [b[p] for p in drawn])
        if kappa is not None:
            found.append(kappa)
    if not found:
        return None, None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
