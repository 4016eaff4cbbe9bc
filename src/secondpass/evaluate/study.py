"""Studies of whether reranking pays: every search variant against tuned fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from secondpass.evaluate.calibration_check import CalibrationCheck, check_calibration
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.cross_fitting import (
    choose_variant,
    mean_cross_fit,
    nested_cross_fit,
    random_halves,
)
from secondpass.evaluate.defaults import DEPTHS
from secondpass.evaluate.experiment import (
    ExperimentData,
    Progress,
    check_query_count,
    collect,
    rescored_variants,
)
from secondpass.evaluate.first_stage import check_mode
from secondpass.evaluate.harmed_queries import HarmedQuery, find_harmed_queries
from secondpass.evaluate.measures import ranked_values
from secondpass.evaluate.score_matrix import FloatArray, Objective
from secondpass.evaluate.significance import ALPHA, Effect, estimate_effect, holm_correction
from secondpass.evaluate.variant_builders import (
    first_stage_variant,
    fusion_variant,
    oracle_values,
    reranked_variants,
)
from secondpass.evaluate.variants import RankedIds, SearchVariant, Settings
from secondpass.option_values import RESCORE_AUTO

if TYPE_CHECKING:
    from secondpass.index.search import Search
    from secondpass.options import Rerank

MIN_USEFUL_GAIN = 0.01
"""A gain that is surely smaller than this is not worth a second pass."""


@dataclass(frozen=True)
class VariantResult:
    """What one search variant reaches, cross-fitted, against tuned fusion.

    - `settings`: fitted on all queries.
    - `mean`, `values` [queries]: with settings fitted on the half without the query,
      averaged over ten random splits into halves.
    - `effect`: the difference from tuned fusion; `p_holm`, `t_holm`: the p-values of its
      two tests, corrected by Holm for the number of variants.
    - `judged_at_10`: the share of the first ten that is judged, 0 to 1.
    - `ms`: the median milliseconds of a search; `added_ms`: those of the second pass.
    """

    variant: SearchVariant
    settings: Settings
    mean: float
    values: FloatArray
    effect: Effect
    p_holm: float
    t_holm: float
    judged_at_10: float
    ms: float
    added_ms: float


@dataclass(frozen=True)
class OracleBound:
    """The measure of a perfect second pass at a depth, and the recall at that depth."""

    depth: int
    perfect: float
    recall: float


@dataclass(frozen=True)
class Study:
    """The results of a study; `results[chosen]` is the best variant.

    - `gain`: the unbiased difference from tuned fusion (chosen and fitted on one half of
      the queries, evaluated on the other); `gain_by_query` [queries] is what it averages.
    - `harmed`: the queries whose measure falls most, in the first of the ten splits.
    - `timed`: whether latency was measured.
    - `probabilities`: by model, for as many candidates as the chosen variant has.
    """

    collection: Collection
    measure: str
    mode: str
    depths: Sequence[int]
    models: Sequence[str]
    baseline: VariantResult
    first_stages: Sequence[VariantResult]
    results: Sequence[VariantResult]
    chosen: int
    gain: Effect
    gain_by_query: FloatArray
    bounds: Sequence[OracleBound]
    harmed: Sequence[HarmedQuery]
    blend_weights: Mapping[str, Mapping[str, float]]
    timed: bool
    probabilities: Mapping[str, CalibrationCheck]

    @property
    def choice(self) -> VariantResult:
        """The variant to use if reranking pays."""
        return self.results[self.chosen]

    @property
    def second_readings(self) -> list[VariantResult]:
        """The results of each rescorer at the depth and with the model of the choice."""
        best = self.choice.variant
        return [
            r
            for r in self.results
            if r.variant.rescorer is not None
            and (r.variant.model, r.variant.depth) == (best.model, best.depth)
        ]

    def curve(self, model: str) -> list[VariantResult]:
        """Return a model's results by depth, in the order (blend or alone) of the choice."""
        return [
            r
            for r in self.results
            if r.variant.model == model and r.variant.order == self.choice.variant.order
        ]


class Verdict(StrEnum):
    """Whether reranking pays."""

    RERANK = "rerank"
    DO_NOT = "do not rerank"
    UNDECIDED = "undecided"


def verdict(study: Study) -> Verdict:
    """Return what the unbiased difference from tuned fusion says.

    Reranking pays if the gain is significant at 5 % (randomization test); it does not if
    the whole interval lies below .01 or the mean is not above 0; else the queries are too
    few to tell.
    """
    return gain_verdict(study.gain)


def gain_verdict(gain: Effect) -> Verdict:
    """Return what a difference says by the rule of `verdict`."""
    if gain.mean > 0 and gain.p < ALPHA:
        return Verdict.RERANK
    if gain.mean <= 0 or gain.high < MIN_USEFUL_GAIN:
        return Verdict.DO_NOT
    return Verdict.UNDECIDED


def run_study(
    index: Search,
    collection: Collection,
    *,
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    mode: str = "hybrid",
    measure: str = "nDCG@10",
    rescore: Sequence[Rerank] = (RESCORE_AUTO,),
    progress: Progress | None = None,
) -> Study:
    """Study on an index whether reranking pays.

    `mode` is the first pass whose candidates are reranked; `measure` a name of
    ir-measures. Every pair of query and candidate is scored once by each model; the models of
    `rescore` are tried for reading the first candidates again, "auto" for those that go with
    the models. Raises InputError for fewer than 10 queries, no depth, or ids of which none is
    in the index.
    """
    # An unknown measure fails before the long work.
    Objective(collection.qrels, measure)
    data = collect(
        index,
        collection,
        models=models,
        depths=depths,
        first_stages=[(mode, "rrf")],
        rescore=rescore,
        progress=progress,
    )
    return analyze(data, mode=mode, measure=measure, progress=progress)


study = run_study
"""The name of `run_study` in `secondpass.evaluate`."""


def analyze(
    data: ExperimentData,
    *,
    mode: str = "hybrid",
    measure: str = "nDCG@10",
    progress: Progress | None = None,
) -> Study:
    """Return the study of collected data."""
    check_query_count(data.collection)
    objective = Objective(data.collection.qrels, measure)
    check_mode(mode)
    if mode not in data.modes:
        # An index without vectors retrieves by BM25 whatever mode is asked for.
        mode = data.modes[0]
    queries, qrels = data.collection.queries, data.collection.qrels
    rankings, max_depth = data.first_stage.rankings, data.depths[-1]
    splits = random_halves(len(queries))
    all_queries = np.ones(len(queries), dtype=np.bool_)
    first_stages = [
        first_stage_variant(
            queries,
            rankings,
            objective,
            qrels,
            mode=each_mode,
            depth=max_depth,
            latency_ms=data.latency_ms(each_mode),
        )
        for each_mode in data.modes
    ]
    baseline = first_stages[0]
    if len(data.modes) > 1:
        baseline = fusion_variant(
            queries,
            rankings,
            objective,
            qrels,
            depth=max_depth,
            latency_ms=data.latency_ms("hybrid"),
        )
    variants = _reranked_variants(data, objective, mode)
    baseline_values = mean_cross_fit(baseline, splits)

    def evaluate_variant(variant: SearchVariant) -> VariantResult:
        values, setting = mean_cross_fit(variant, splits), variant.best_setting(all_queries)
        top_ids = {query: ids[:10] for query, ids in variant.ranked_ids(setting).items()}
        judged = ranked_values(top_ids, qrels, ["Judged@10"])["Judged@10"]
        effect = estimate_effect(values - baseline_values)
        return VariantResult(
            variant,
            variant.settings[setting],
            float(values.mean()),
            values,
            effect,
            effect.p,
            effect.t,
            float(judged.mean()),
            variant.latency_ms,
            variant.latency_ms - data.latency_ms(variant.mode),
        )

    results = []
    for done, variant in enumerate(variants, 1):
        results.append(evaluate_variant(variant))
        if progress is not None:
            progress("testing", done, len(variants))
    outer_fits = [nested_cross_fit(variants, folds) for folds in splits]
    gain_by_query = np.mean([fit.values for fit in outer_fits], axis=0) - baseline_values
    # A single split has rankings to show; the mean over all of them has none.
    before = nested_cross_fit([baseline], splits[0])
    chosen = choose_variant(variants, all_queries)
    depth = variants[chosen].depth
    return Study(
        data.collection,
        objective.measure,
        mode,
        data.depths,
        list(data.scores),
        evaluate_variant(baseline),
        [evaluate_variant(variant) for variant in first_stages],
        _correct_p_values(results),
        chosen,
        estimate_effect(gain_by_query),
        gain_by_query,
        [_oracle_bound(data, objective, mode, each_depth) for each_depth in data.depths],
        find_harmed_queries(
            queries,
            qrels,
            {str(p.document_id): p for p in data.first_stage.passages.values()},
            (before.values, before.ranked_ids()),
            (outer_fits[0].values, outer_fits[0].ranked_ids()),
        ),
        data.blend_weights,
        data.latencies is not None,
        {m: check_calibration(data, m, mode=mode, depth=depth) for m in data.score_kinds},
    )


def _reranked_variants(
    data: ExperimentData, objective: Objective, mode: str
) -> list[SearchVariant]:
    variants: list[SearchVariant] = []
    for model in data.scores:
        for depth in data.depths:
            variants += reranked_variants(
                data.collection.queries,
                data.first_stage.rankings,
                objective,
                data.collection.qrels,
                model=model,
                scores=data.scores[model],
                default_weights=data.blend_weights[model],
                mode=mode,
                depth=depth,
                latency_ms=data.latency_ms(mode, model, depth),
                probabilities=data.probabilities.get(model),
                vectors=data.first_stage.vectors,
                neighbors_latency_ms=data.latency_ms(mode, model, depth, neighbors=True),
            )
            variants += rescored_variants(data, objective, model=model, mode=mode, depth=depth)
    return variants


def _correct_p_values(results: Sequence[VariantResult]) -> list[VariantResult]:
    ps = holm_correction([r.p_holm for r in results])
    ts = holm_correction([r.t_holm for r in results])
    return [replace(r, p_holm=p, t_holm=t) for r, p, t in zip(results, ps, ts, strict=True)]


def _oracle_bound(
    data: ExperimentData, objective: Objective, mode: str, depth: int
) -> OracleBound:
    queries, qrels = data.collection.queries, data.collection.qrels
    rankings = data.first_stage.rankings
    perfect = oracle_values(queries, rankings, objective, qrels, mode=mode, depth=depth)
    retrieved: RankedIds = {
        q: list(dict.fromkeys(c.judged_id for c in rankings[q].candidates(mode, depth)))
        for q in queries
    }
    name = f"R@{depth}"
    recall = ranked_values(retrieved, qrels, [name])[name]
    return OracleBound(depth, float(perfect.mean()), float(recall.mean()))
