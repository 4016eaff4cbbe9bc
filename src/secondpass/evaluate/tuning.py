"""The best way to search under a limit of time, and an honest estimate of what it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.cross_fitting import choose, cross_fitted, nested, split
from secondpass.evaluate.experiment import ExperimentData, Progress, check_enough, collect
from secondpass.evaluate.measures import DEPTHS, TOP_K
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.significance import Effect, effect, interval
from secondpass.evaluate.threshold import Threshold, check_keep, choose_threshold
from secondpass.evaluate.variant_builders import as_found, reranked, tuned_fusion
from secondpass.evaluate.variants import SearchVariant, Settings
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.calibration import Calibrated

if TYPE_CHECKING:
    from pathlib import Path

    from secondpass.index.index import Index, Rerank
    from secondpass.rerank.calibration import Calibration

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
    - `threshold`: of the probabilities, where one was asked for; `no_threshold`: why there
      is none. It is in `settings`, and not in what is promised.
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
    threshold: Threshold | None = None
    no_threshold: str | None = None


def tune(
    index: Index,
    collection: Collection,
    *,
    max_latency_ms: float | None = None,
    maximise: str = "nDCG@10",
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    cascade: bool = False,
    keep: float | None = None,
    top_k: int = TOP_K,
    calibration: str | Path | Calibration | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Choose mode, fusion, weights, model, blend, number of candidates and threshold.

    - `max_latency_ms` bounds the median of a search, measured here and now; `maximise` is
      a name of ir-measures.
    - `cascade`: whether the cheap bundled model before each model is tried too.
    - `keep`: choose the highest `min_probability` that keeps this share of the relevant
      results among the first `top_k`, above 0 and below 1; None for no threshold.
    - `calibration`: of the only one of `models`, whose probabilities it makes.

    Raises InputError where no way to search is quick enough or too few documents are
    relevant for `keep`, and as `collect` does.
    """
    if max_latency_ms is not None and not max_latency_ms > 0:
        raise InputError(f"max_latency_ms must be above 0, and is {max_latency_ms}")
    Objective(collection.qrels, maximise)
    require_count("top_k", top_k)
    if keep is not None:
        check_keep(keep, relevant(collection))
    if calibration is not None:
        if len(models) != 1:
            raise InputError(f"a calibration is of one model, and {len(models)} are compared")
        models = [Calibrated(index.reranker(models[0]), calibration)]
    evidence = collect(
        index,
        collection,
        models=models,
        depths=depths,
        passes=PASSES,
        cascade=cascade,
        progress=progress,
    )
    return tuned(
        evidence, max_latency_ms=max_latency_ms, maximise=maximise, keep=keep, top_k=top_k
    )


def relevant(collection: Collection) -> int:
    """Return how many judgements say that a document is relevant."""
    return sum(g > 0 for grades in collection.qrels.values() for g in grades.values())


def tuned(
    evidence: ExperimentData,
    *,
    max_latency_ms: float | None = None,
    maximise: str = "nDCG@10",
    keep: float | None = None,
    top_k: int = TOP_K,
) -> Tuned:
    """Return the choice from what was gathered for all of `PASSES`."""
    collection = evidence.collection
    if keep is not None:
        check_keep(keep, relevant(collection))
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
    settings = dict(best.settings[best.best(every)])
    threshold, missing = None, None
    if keep is not None:
        way = (best, best.best(every))
        threshold, missing = choose_threshold(
            way, outer, objective, collection.qrels, keep=keep, top_k=top_k
        )
    if threshold is not None:
        settings["min_probability"] = threshold.least
    low, high = interval(values)
    return Tuned(
        objective.measure,
        best.label,
        settings,
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
        threshold,
        missing,
    )


def ways(evidence: ExperimentData, objective: Objective) -> list[SearchVariant]:
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
        behind = evidence.sieves.get(model)
        sieves = [None] if behind is None else [None, behind]
        passes = [one for one in PASSES if one[0] in evidence.modes]
        for (mode, fusion), depth, sieve in product(passes, evidence.depths, sieves):
            if sieve is not None and not sieve.works(depth):
                continue
            timed = model if sieve is None else sieve.before(model)
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
                cost=evidence.cost(mode, timed, depth),
                fusion=fusion,
                chances=evidence.chances.get(model),
                sieve=sieve,
            )
    return families


def _default(families: Sequence[SearchVariant], evidence: ExperimentData) -> SearchVariant:
    """Return what comes nearest to a search without arguments: a blend of 50 candidates."""
    depth = min(evidence.depths, key=lambda d: (abs(d - 50), d))
    blends = [f for f in families if f.order == "blend" and f.depth == depth]
    return blends[0] if blends else families[0]
