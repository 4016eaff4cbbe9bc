"""The best way to search under a limit of time, and an honest estimate of what it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.crossfit import choose, cross_fitted, nested, split
from secondpass.evaluate.defaults import DEPTHS
from secondpass.evaluate.effect import Effect, effect, interval
from secondpass.evaluate.evidence import Evidence, Progress, check_enough, gather
from secondpass.evaluate.family import Family, Settings
from secondpass.evaluate.objective import Objective
from secondpass.evaluate.ways import as_found, reranked, tuned_fusion

if TYPE_CHECKING:
    from secondpass.pipeline import Index, Rerank

PARTS = 5
PASSES = (("hybrid", "rrf"), ("hybrid", "weighted-z-score"), ("bm25", "rrf"))
"""The modes and fusions whose candidates a second pass may get."""


@dataclass(frozen=True)
class Tuned:
    """What was chosen, and what may be promised.

    - `settings`: the arguments of `Index.search`.
    - `promised`: the mean of the measure on queries that neither chose nor fitted (nested
      cross-validation), with its 95 % interval `low` to `high`.
    - `inner`: the mean by which it was chosen, which is too high; the difference is what
      choosing the best of `tried` ways flatters.
    - `over`: the honest difference from searching by default.
    - `ms`: the median of a search; `picks`: what each of the folds chose.
    """

    measure: str
    label: str
    settings: Settings
    promised: float
    low: float
    high: float
    inner: float
    over: Effect
    default: float
    ms: float
    tried: int
    queries: int
    picks: Sequence[str]


def tune(
    index: Index,
    collection: Collection,
    *,
    max_latency_ms: float | None = None,
    maximise: str = "nDCG@10",
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    progress: Progress | None = None,
) -> Tuned:
    """Choose mode, fusion, weights, model, blend and number of candidates.

    `max_latency_ms` bounds the median of a search, measured here and now; `maximise` is a
    name of ir-measures. Raises InputError where no way to search is quick enough, and as
    `gather` does.
    """
    if max_latency_ms is not None and not max_latency_ms > 0:
        raise InputError(f"max_latency_ms must be above 0, and is {max_latency_ms}")
    Objective(collection.qrels, maximise)
    evidence = gather(
        index, collection, models=models, depths=depths, passes=PASSES, progress=progress
    )
    return tuned(evidence, max_latency_ms=max_latency_ms, maximise=maximise)


def tuned(
    evidence: Evidence, *, max_latency_ms: float | None = None, maximise: str = "nDCG@10"
) -> Tuned:
    """Return the choice from what was gathered for all of `PASSES`."""
    collection = evidence.collection
    check_enough(collection)
    objective = Objective(collection.qrels, maximise)
    families = ways(evidence, objective)
    quick = [f for f in families if max_latency_ms is None or f.cost <= max_latency_ms]
    if not quick:
        fastest = min(families, key=lambda f: f.cost)
        raise InputError(
            f"nothing is as quick as {max_latency_ms:g} ms",
            why=f"the quickest is {fastest.label} with {fastest.cost:.0f} ms on this machine",
            fix="Give a higher --max-latency-ms.",
        )
    n = len(collection.queries)
    folds, every = split(n, PARTS), np.ones(n, dtype=np.bool_)
    outer = nested(quick, folds, parts=PARTS)
    values = outer.values
    best = quick[choose(quick, every, parts=PARTS)]
    inner = float(cross_fitted(best, folds).mean())
    plain = _default(families, evidence)
    low, high = interval(values)
    return Tuned(
        objective.measure,
        best.label,
        best.settings[best.best(every)],
        float(values.mean()),
        low,
        high,
        inner,
        effect(values - plain.values[0]),
        float(plain.values[0].mean()),
        best.cost,
        sum(len(f.settings) for f in quick),
        n,
        [family.label for family, _ in outer.picks],
    )


def ways(evidence: Evidence, objective: Objective) -> list[Family]:
    """Return every way to search that may be chosen, without a second pass first."""
    queries, qrels = evidence.collection.queries, evidence.collection.qrels
    found, deepest = evidence.found.halves, evidence.depths[-1]
    families = [
        as_found(queries, found, objective, qrels, mode=m, depth=deepest, cost=evidence.cost(m))
        for m in evidence.modes
    ]
    if "hybrid" in evidence.modes:
        cost = evidence.cost("hybrid")
        families.append(
            tuned_fusion(queries, found, objective, qrels, depth=deepest, cost=cost)
        )
    for model, scores in evidence.scores.items():
        for mode, fusion in PASSES:
            if mode not in evidence.modes:
                continue
            for depth in evidence.depths:
                families += reranked(
                    queries,
                    found,
                    objective,
                    qrels,
                    model=model,
                    scores=scores,
                    default=evidence.blends[model],
                    mode=mode,
                    depth=depth,
                    cost=evidence.cost(mode, model, depth),
                    fusion=fusion,
                )
    return families


def _default(families: Sequence[Family], evidence: Evidence) -> Family:
    """Return what comes nearest to a search without arguments: a blend of 50 candidates."""
    depth = min(evidence.depths, key=lambda d: (abs(d - 50), d))
    blends = [f for f in families if f.order == "blend" and f.depth == depth]
    return blends[0] if blends else families[0]
