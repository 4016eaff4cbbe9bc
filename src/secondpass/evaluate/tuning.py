"""Tuning: the best search settings under a latency limit, and an unbiased estimate of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from secondpass.composition import Composer
from secondpass.errors import InputError
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.cross_fitting import (
    choose_variant,
    cross_fit,
    make_folds,
    nested_cross_fit,
)
from secondpass.evaluate.defaults import DEPTHS, TOP_K
from secondpass.evaluate.experiment import (
    ExperimentData,
    Progress,
    check_query_count,
    collect,
    rescored_variants,
)
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.significance import Effect, bootstrap_interval, estimate_effect
from secondpass.evaluate.threshold import Threshold, check_keep, choose_threshold
from secondpass.evaluate.variant_builders import (
    first_stage_variant,
    fusion_variant,
    reranked_variants,
)
from secondpass.evaluate.variants import SearchVariant, Settings
from secondpass.models import RESCORERS
from secondpass.option_values import RESCORE_AUTO
from secondpass.rerank.inputs import require_count

if TYPE_CHECKING:
    from pathlib import Path

    from secondpass.index.search import Search
    from secondpass.options import Rerank
    from secondpass.rerank.calibration import Calibration

FOLDS = 5
FIRST_STAGES = (("hybrid", "rrf"), ("hybrid", "weighted-z-score"), ("bm25", "rrf"))
"""The modes and fusions whose candidates may be reranked."""
_DEFAULT_CANDIDATES = 50


@dataclass(frozen=True)
class Tuned:
    """The chosen settings, and the quality to expect of them.

    - `settings`: the arguments of `Index.search`.
    - `promised`: the mean of the measure on held-out queries, which neither chose nor
      fitted (nested cross-validation), with its 95 % interval `low` to `high`.
    - `inner`: the mean by which the settings were chosen, which is too high; the
      difference is the bias of choosing the best of `tried` settings.
    - `over`: the unbiased difference from the default settings; `default`: their mean.
    - `ms`: the median milliseconds of a search; `picks`: what each fold chose.
    - `threshold`: the probability threshold, if one was asked for; `no_threshold`: why
      there is none. It is in `settings`, and not in what is promised.
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
    index: Search,
    collection: Collection,
    *,
    max_latency_ms: float | None = None,
    maximize: str = "nDCG@10",
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    cascade: bool = False,
    rescore: Sequence[Rerank] = (RESCORE_AUTO,),
    keep: float | None = None,
    top_k: int = TOP_K,
    calibration: str | Path | Calibration | None = None,
    progress: Progress | None = None,
    maximise: str | None = None,
) -> Tuned:
    """Choose mode, fusion, weights, model, blend, number of candidates and threshold.

    - `max_latency_ms` limits the median of a search, measured on this machine; `maximize`
      is a name of ir-measures (`maximise` is the deprecated spelling).
    - `cascade`: whether the cheap bundled model before each model is tried too.
    - `rescore`: models that are tried for reading the first candidates again, "auto" for those
      that go with the models.
    - `keep`: choose the highest `min_probability` that keeps this share of the relevant
      results among the first `top_k`, above 0 and below 1; None for no threshold.
    - `calibration`: for the only one of `models`, whose probabilities it computes.

    Raises InputError where no settings are fast enough, too few documents are relevant for
    `keep`, there are fewer than 10 queries, no depth, or ids of which none is in the index.
    """
    if maximise is not None:
        warnings.warn("use maximize, not maximise", DeprecationWarning, stacklevel=2)
        maximize = maximise
    if max_latency_ms is not None and not max_latency_ms > 0:
        raise InputError(f"max_latency_ms must be above 0, and is {max_latency_ms}")
    # An unknown measure fails before the long work.
    Objective(collection.qrels, maximize)
    require_count("top_k", top_k)
    if keep is not None:
        check_keep(keep, count_relevant(collection))
    if calibration is not None:
        if len(models) != 1:
            raise InputError(
                f"a calibration is for one model, and {len(models)} are compared",
                fix="Give one model, or no calibration.",
            )
        options = {"calibration": calibration}
        models = [Composer().compose(index.reranker(models[0]), options)]
    data = collect(
        index,
        collection,
        models=models,
        depths=depths,
        first_stages=FIRST_STAGES,
        cascade=cascade,
        rescore=rescore,
        progress=progress,
    )
    return choose_settings(
        data, max_latency_ms=max_latency_ms, maximize=maximize, keep=keep, top_k=top_k
    )


def count_relevant(collection: Collection) -> int:
    """Return how many judgments say that a document is relevant."""
    return sum(g > 0 for grades in collection.qrels.values() for g in grades.values())


def choose_settings(
    data: ExperimentData,
    *,
    max_latency_ms: float | None = None,
    maximize: str = "nDCG@10",
    keep: float | None = None,
    top_k: int = TOP_K,
) -> Tuned:
    """Choose settings from data collected for all of `FIRST_STAGES`; see `tune`."""
    collection = data.collection
    if keep is not None:
        check_keep(keep, count_relevant(collection))
    check_query_count(collection)
    objective = Objective(collection.qrels, maximize)
    variants = list_variants(data, objective)
    fast = [v for v in variants if max_latency_ms is None or v.latency_ms <= max_latency_ms]
    if not fast:
        fastest = min(variants, key=lambda v: v.latency_ms)
        raise InputError(
            f"no settings are as fast as {max_latency_ms:g} ms",
            why=f"the fastest is {fastest.label} with {fastest.latency_ms:.0f} ms on this"
            " machine",
            fix="Give a higher --max-latency-ms.",
        )
    n = len(collection.queries)
    folds, all_queries = make_folds(n, FOLDS), np.ones(n, dtype=np.bool_)
    outer_fit = nested_cross_fit(fast, folds, folds=FOLDS)
    best = fast[choose_variant(fast, all_queries, folds=FOLDS)]
    best_setting = best.best_setting(all_queries)
    settings = dict(best.settings[best_setting])
    threshold, no_threshold = None, None
    if keep is not None:
        threshold, no_threshold = choose_threshold(
            (best, best_setting), outer_fit, objective, collection.qrels, keep=keep, top_k=top_k
        )
    if threshold is not None:
        settings["min_probability"] = threshold.least
    low, high = bootstrap_interval(outer_fit.values)
    default_values = _default_variant(variants, data).values[0]
    return Tuned(
        objective.measure,
        best.label,
        settings,
        float(outer_fit.values.mean()),
        low,
        high,
        float(cross_fit(best, folds).mean()),
        estimate_effect(outer_fit.values - default_values),
        float(default_values.mean()),
        best.latency_ms,
        sum(len(v.settings) for v in fast),
        n,
        [variant.label for variant, _ in outer_fit.choices],
        threshold,
        no_threshold,
    )


def list_variants(data: ExperimentData, objective: Objective) -> list[SearchVariant]:
    """Return every search variant that may be chosen, those without a second pass first."""
    queries, qrels = data.collection.queries, data.collection.qrels
    rankings, max_depth = data.first_stage.rankings, data.depths[-1]
    variants = [
        first_stage_variant(
            queries,
            rankings,
            objective,
            qrels,
            mode=mode,
            depth=max_depth,
            latency_ms=data.latency_ms(mode),
        )
        for mode in data.modes
    ]
    if len(data.modes) > 1:
        variants.append(
            fusion_variant(
                queries,
                rankings,
                objective,
                qrels,
                depth=max_depth,
                latency_ms=data.latency_ms("hybrid"),
            )
        )
    first_stages = [stage for stage in FIRST_STAGES if stage[0] in data.modes]
    if len(data.modes) == 1:
        # There is nothing to fuse.
        first_stages = [(data.modes[0], "rrf")]
    for model, scores in data.scores.items():
        known_cascade = data.cascades.get(model)
        cascades = [None] if known_cascade is None else [None, known_cascade]
        for (mode, fusion), depth, cascade in product(first_stages, data.depths, cascades):
            if cascade is not None and not cascade.applies_to(depth):
                continue
            timed = model if cascade is None else cascade.name(model)
            variants += reranked_variants(
                queries,
                rankings,
                objective,
                qrels,
                model=model,
                scores=scores,
                default_weights=data.blend_weights[model],
                mode=mode,
                depth=depth,
                latency_ms=data.latency_ms(mode, timed, depth),
                fusion=fusion,
                probabilities=data.probabilities.get(model),
                cascade=cascade,
                vectors=data.first_stage.vectors,
                neighbors_latency_ms=data.latency_ms(mode, timed, depth, neighbors=True),
            )
            if cascade is None:
                variants += rescored_variants(
                    data, objective, model=model, mode=mode, depth=depth, fusion=fusion
                )
    return variants


def _default_variant(variants: Sequence[SearchVariant], data: ExperimentData) -> SearchVariant:
    """Return the variant nearest to a search without arguments: a blend of 50 candidates.

    Where the model that rescores by default was tried, it is the one with it.
    """
    depth = min(data.depths, key=lambda d: (abs(d - _DEFAULT_CANDIDATES), d))
    blends = [v for v in variants if v.order == "blend" and v.depth == depth]
    if not blends:
        return variants[0]
    rescorer = RESCORERS.get(str(blends[0].model))
    rescored = [
        v
        for v in variants
        if v.rescorer is not None
        and (v.rescorer, v.model, v.depth) == (rescorer, blends[0].model, depth)
    ]
    return (rescored or blends)[0]
