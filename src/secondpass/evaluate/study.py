"""Does reranking pay? Every way to search against tuned fusion, on one collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from secondpass.evaluate.calibration_check import Probabilities, check_probabilities
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.cross_fitting import averaged, choose, halves, nested
from secondpass.evaluate.experiment import ExperimentData, Progress, check_enough, collect
from secondpass.evaluate.first_stage import check_mode, judged_id
from secondpass.evaluate.harmed_queries import Harm, most_harmed
from secondpass.evaluate.measures import DEPTHS, ranked_values
from secondpass.evaluate.score_matrix import Matrix, Objective
from secondpass.evaluate.significance import ALPHA, Effect, effect, holm
from secondpass.evaluate.variant_builders import as_found, oracle, reranked, tuned_fusion
from secondpass.evaluate.variants import Ranked, SearchVariant, Settings

if TYPE_CHECKING:
    from secondpass.index.index import Index, Rerank

WORTH = 0.01
"""A gain that is surely smaller than this is not worth a second pass."""


@dataclass(frozen=True)
class Result:
    """What one way to search reaches, cross-fitted, against tuned fusion.

    - `settings`: fitted on all queries; `mean`, `values` [queries]: by those that were
      fitted on the half without the query, averaged over ten ways to cut into halves.
    - `effect`: the difference from tuned fusion; `p`, `t`: its two tests, corrected by
      Holm for the number of ways.
    - `judged`: the share of the first ten that anybody judged, 0 to 1.
    - `ms`: the median of a search; `added`: what of it the second pass takes.
    """

    family: SearchVariant
    settings: Settings
    mean: float
    values: Matrix
    effect: Effect
    p: float
    t: float
    judged: float
    ms: float
    added: float


@dataclass(frozen=True)
class Bound:
    """What a perfect second pass would reach at a depth, and how much there is to find."""

    depth: int
    perfect: float
    recall: float


@dataclass(frozen=True)
class Study:
    """Everything a report says; `results[chosen]` is the way that is taken.

    - `honest`: the difference of choosing and fitting on one half and judging on the other
      from tuned fusion (so fitted and judged), and `change` [queries] what it is made of.
    - `harmed`: the queries that fall most in the first of the ten cuts.
    - `timed`: whether milliseconds were measured.
    - `probabilities`: by model, of as many candidates as the choice has.
    """

    collection: Collection
    measure: str
    mode: str
    depths: Sequence[int]
    models: Sequence[str]
    baseline: Result
    firsts: Sequence[Result]
    results: Sequence[Result]
    chosen: int
    honest: Effect
    change: Matrix
    bounds: Sequence[Bound]
    harmed: Sequence[Harm]
    blends: Mapping[str, Mapping[str, float]]
    timed: bool
    probabilities: Mapping[str, Probabilities]

    @property
    def choice(self) -> Result:
        """The way that is taken if reranking pays."""
        return self.results[self.chosen]

    def curve(self, model: str) -> list[Result]:
        """Return a model's results by depth, ordered as the choice is."""
        return [
            r
            for r in self.results
            if r.family.model == model and r.family.order == self.choice.family.order
        ]


class Verdict(StrEnum):
    """Whether reranking pays."""

    RERANK = "rerank"
    DO_NOT = "do not rerank"
    UNDECIDED = "undecided"


def verdict(study: Study) -> Verdict:
    """Return what the honest difference from tuned fusion says.

    It pays where the gain is significant at 5 % (randomisation test); it does not where
    the whole interval lies below .01 or the mean is not above 0; else the queries are too
    few to tell.
    """
    gain = study.honest
    if gain.mean > 0 and gain.p < ALPHA:
        return Verdict.RERANK
    if gain.mean <= 0 or gain.high < WORTH:
        return Verdict.DO_NOT
    return Verdict.UNDECIDED


def study(
    index: Index,
    collection: Collection,
    *,
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    mode: str = "hybrid",
    measure: str = "nDCG@10",
    progress: Progress | None = None,
) -> Study:
    """Study on an index whether reranking pays; see `collect` for what is done and raised.

    `mode` is the first pass whose candidates are reranked; `measure` a name of ir-measures.
    """
    Objective(collection.qrels, measure)
    evidence = collect(
        index,
        collection,
        models=models,
        depths=depths,
        passes=[(mode, "rrf")],
        progress=progress,
    )
    return studied(evidence, mode=mode, measure=measure, progress=progress)


def studied(
    evidence: ExperimentData,
    *,
    mode: str = "hybrid",
    measure: str = "nDCG@10",
    progress: Progress | None = None,
) -> Study:
    """Return the study of what was gathered."""
    collection, found = evidence.collection, evidence.found.halves
    check_enough(collection)
    queries, qrels = collection.queries, collection.qrels
    objective = Objective(qrels, measure)
    check_mode(mode)
    if mode not in evidence.modes:
        # An index without vectors hands over what BM25 finds, whatever is asked for.
        mode = evidence.modes[0]
    deepest = evidence.depths[-1]
    splits = halves(len(queries))
    firsts = [
        as_found(queries, found, objective, qrels, mode=m, depth=deepest, cost=evidence.cost(m))
        for m in evidence.modes
    ]
    fusion = firsts[0]
    if len(evidence.modes) > 1:
        cost = evidence.cost("hybrid")
        fusion = tuned_fusion(queries, found, objective, qrels, depth=deepest, cost=cost)
    families: list[SearchVariant] = []
    for model in evidence.scores:
        for depth in evidence.depths:
            families += reranked(
                queries,
                found,
                objective,
                qrels,
                model=model,
                scores=evidence.scores[model],
                default=evidence.blends[model],
                mode=mode,
                depth=depth,
                cost=evidence.cost(mode, model, depth),
            )
    every = np.ones(len(queries), dtype=np.bool_)
    base = averaged(fusion, splits)

    def result(family: SearchVariant) -> Result:
        values, setting = averaged(family, splits), family.best(every)
        ranked = _top(family.ranked(setting))
        judged = ranked_values(ranked, qrels, ["Judged@10"])["Judged@10"]
        change = effect(values - base)
        return Result(
            family,
            family.settings[setting],
            float(values.mean()),
            values,
            change,
            change.p,
            change.t,
            float(judged.mean()),
            family.cost,
            family.cost - evidence.cost(family.mode),
        )

    results = []
    for done, family in enumerate(families, 1):
        results.append(result(family))
        if progress is not None:
            progress("testing", done, len(families))
    outer = [nested(families, folds) for folds in splits]
    values = np.mean([one.values for one in outer], axis=0)
    # One cut has an order to show, where the mean over all of them has none.
    before = nested([fusion], splits[0])
    documents = {judged_id(d): d for d in evidence.found.documents.values()}
    chosen = choose(families, every)
    depth = families[chosen].depth
    return Study(
        collection,
        objective.measure,
        mode,
        evidence.depths,
        list(evidence.scores),
        result(fusion),
        [result(family) for family in firsts],
        _corrected(results),
        chosen,
        effect(values - base),
        values - base,
        [_bound(queries, evidence, objective, mode, d, qrels) for d in evidence.depths],
        most_harmed(
            queries,
            qrels,
            documents,
            (before.values, before.ranked()),
            (outer[0].values, outer[0].ranked()),
        ),
        evidence.blends,
        evidence.latencies is not None,
        {m: check_probabilities(evidence, m, mode=mode, depth=depth) for m in evidence.kinds},
    )


def _corrected(results: Sequence[Result]) -> list[Result]:
    from dataclasses import replace

    ps, ts = holm([r.p for r in results]), holm([r.t for r in results])
    return [replace(r, p=p, t=t) for r, p, t in zip(results, ps, ts, strict=True)]


def _bound(
    queries: Mapping[str, str],
    evidence: ExperimentData,
    objective: Objective,
    mode: str,
    depth: int,
    qrels: Mapping[str, Mapping[str, int]],
) -> Bound:
    found = evidence.found.halves
    perfect = oracle(queries, found, objective, qrels, mode=mode, depth=depth)
    handed = {
        q: list(dict.fromkeys(e.judged for e in found[q].first(mode, depth))) for q in queries
    }
    name = f"R@{depth}"
    recall = ranked_values(handed, qrels, [name])[name]
    return Bound(depth, float(perfect.mean()), float(recall.mean()))


def _top(ranked: Ranked) -> Ranked:
    return {query: ids[:10] for query, ids in ranked.items()}
