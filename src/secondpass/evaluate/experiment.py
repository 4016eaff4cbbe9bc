"""Experiment data: everything that a study or a tuning needs of one collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from secondpass.composition import CHEAP, Composer
from secondpass.errors import InputError
from secondpass.evaluate.cascade_simulation import CascadeSimulation
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.defaults import DEPTHS
from secondpass.evaluate.first_stage import FirstStageRuns, check_mode, run_first_stage
from secondpass.evaluate.latency import Latencies, measure_latency
from secondpass.evaluate.pair_scores import (
    ProbabilitiesByQuery,
    ScoredPairs,
    ScoresByQuery,
    score_pairs,
)
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.variant_builders import (
    passages_to_rescore,
    passages_to_score,
    rescored_variant,
)
from secondpass.evaluate.variants import SearchVariant
from secondpass.models import RESCORERS
from secondpass.option_values import RESCORE_AUTO, RESCORE_NONE
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.blend import check_weights, weights_for
from secondpass.rerank.policies.cascade import Margin, bundled_margin
from secondpass.rerank.policies.rescore import one_window
from secondpass.rerank.question import is_question
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.fusion import check_method
from secondpass.types import ScoreKind

if TYPE_CHECKING:
    from secondpass.index.search import Search
    from secondpass.options import Rerank

MIN_QUERIES = 10

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True)
class ExperimentData:
    """Rankings, scores and latencies of a collection, to the deepest of `depths`.

    - `scores`, `probabilities`, `score_kinds`: by model.
    - `blend_weights`: by model, the weights that `search` blends its scores by.
    - `latencies`: None where nothing was timed; those of a cascade have its
      `CascadeSimulation.name`.
    - `cascades`: by model, the cheap stage of its cascade, where cascades are compared.
    - `rescored`: by rescorer, its scores of the passages that come first; latencies with it
      have the name of `rescored_name`. `automatic`: those of them that "auto" stands for, which
      read after their own model alone, and for questions alone.
    """

    collection: Collection
    first_stage: FirstStageRuns
    depths: Sequence[int]
    scores: Mapping[str, ScoresByQuery]
    blend_weights: Mapping[str, Mapping[str, float]]
    latencies: Latencies | None = None
    modes: Sequence[str] = field(default=("hybrid", "bm25", "vector"))
    probabilities: Mapping[str, ProbabilitiesByQuery] = field(default_factory=dict)
    score_kinds: Mapping[str, ScoreKind] = field(default_factory=dict)
    cascades: Mapping[str, CascadeSimulation] = field(default_factory=dict)
    rescored: Mapping[str, ScoresByQuery] = field(default_factory=dict)
    automatic: frozenset[str] = frozenset()

    def latency_ms(
        self, mode: str, model: str | None = None, depth: int = 0, *, neighbors: bool = False
    ) -> float:
        """Return the median milliseconds of a search, 0 where nothing was timed."""
        if self.latencies is None:
            return 0.0
        return self.latencies.total(mode, model, depth, neighbors=neighbors)


def collect(
    index: Search,
    collection: Collection,
    *,
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    first_stages: Sequence[tuple[str, str]] = (("hybrid", "rrf"),),
    cascade: bool = False,
    rescore: Sequence[Rerank] = (RESCORE_AUTO,),
    progress: Progress | None = None,
) -> ExperimentData:
    """Retrieve, score and time the queries of a collection on an index or a database.

    `first_stages` are the (mode, fusion) whose candidates are reranked. Every pair of query
    and candidate is scored once by each model, whatever the depth. With `cascade`, the
    bundled cheap model scores them too, and each model that has a margin for it is timed
    behind it. The models of `rescore` read what comes first in the default blend of each model,
    at each depth; "auto" stands for those that go with the models, "none" for none. Raises
    InputError for fewer than 10 queries (fitting and evaluating need some each), no depth, ids
    of which none is in the index, or an impossible cascade.
    """
    depths = check_depths(depths)
    check_query_count(collection)
    if not models:
        raise InputError("there is no model to rerank with", fix='Name one, such as "bundled".')
    for mode, fusion in first_stages:
        check_mode(mode)
        check_method(fusion)
    judged = list({d for grades in collection.qrels.values() for d in grades})
    stored = index.stored_ids(judged)
    if stored is not None:
        collection = collection.checked(stored, "the index")
    rerankers = {r.model: r for r in (index.reranker(model) for model in models)}
    cheap = index.reranker(CHEAP) if cascade else None
    margins: Mapping[str, Margin] = {}
    if cheap is not None:
        margins, notes = _margins(cheap, rerankers, depths[-1])
        collection = replace(collection, notes=(*collection.notes, *notes))
    first_stage = run_first_stage(
        index.retriever,
        collection.queries,
        depths[-1],
        with_vectors=True,
        progress=_stage_progress(progress, "searching"),
    )
    if stored is None:
        found = {str(p.document_id) for p in first_stage.passages.values()}
        collection = collection.found(found, index.name)
    searches = [(mode, depth, fusion) for mode, fusion in first_stages for depth in depths]
    passage_ids = passages_to_score(collection.queries, first_stage.rankings, searches)

    def score(
        reranker: BaseReranker,
        passage_ids: Mapping[str, Sequence[str]] = passage_ids,
        options: ScoringOptions | None = None,
    ) -> ScoredPairs:
        return score_pairs(
            reranker,
            collection.queries,
            passage_ids,
            first_stage.passages,
            options=options,
            progress=_stage_progress(progress, f"scoring ({reranker.model})"),
        )

    pairs = {name: score(reranker) for name, reranker in rerankers.items()}
    cascades: dict[str, CascadeSimulation] = {}
    timed = dict(rerankers)
    if cheap is not None:
        cheap_pairs = pairs[CHEAP] if CHEAP in pairs else score(cheap)
        for name, margin in margins.items():
            cascades[name] = CascadeSimulation(CHEAP, cheap_pairs.scores, margin)
            timed[cascades[name].name(name)] = Composer().compose(
                rerankers[name], {"cascade": True}, cheap=cheap, margin=margin
            )
    weights = {name: check_weights(weights_for(r)) for name, r in rerankers.items()}
    first_ids: Mapping[str, Sequence[str]] = {}
    rescorers, automatic = _load_rescorers(index, rescore, rerankers)
    if rescorers:
        models_scores = [(pairs[name].scores, weights[name]) for name in rerankers]
        first_ids = passages_to_rescore(
            collection.queries, first_stage.rankings, searches, models_scores
        )
    rescored: dict[str, ScoresByQuery] = {}
    for named, rescorer in rescorers.items():
        rescored[named] = score(rescorer, first_ids, one_window(ScoringOptions())).scores
        for name, reranker in rerankers.items():
            if named not in automatic:
                composed = Composer().compose(reranker, {"rescore": rescorer})
                timed[rescored_name(name, named)] = composed
            elif reranker.default_rescorer == named:
                timed[rescored_name(name, named)] = reranker
    modes = index.retriever.modes or ("hybrid",)
    latencies = measure_latency(
        index,
        list(collection.queries.values()),
        timed,
        depths,
        modes=modes,
        automatic=[rescored_name(name, r) for name in rerankers for r in automatic],
        neighbors=bool(first_stage.vectors),
        progress=_stage_progress(progress, "timing"),
    )
    return ExperimentData(
        collection,
        first_stage,
        depths,
        {name: scored.scores for name, scored in pairs.items()},
        weights,
        latencies,
        modes,
        {name: scored.probabilities for name, scored in pairs.items()},
        {name: scored.kind for name, scored in pairs.items()},
        cascades,
        rescored,
        automatic,
    )


def rescored_name(model: str, rescorer: str) -> str:
    """Return the name of a model whose first candidates another one reads again."""
    return f"{model} rescored by {rescorer}"


def rescored_variants(
    data: ExperimentData,
    objective: Objective,
    *,
    model: str,
    mode: str,
    depth: int,
    fusion: str = "rrf",
) -> list[SearchVariant]:
    """Return a variant for each model that read the first candidates again.

    An automatic one has one after its own model, where there are questions to read for.
    """
    questions = any(map(is_question, data.collection.queries.values()))
    automatic = {RESCORERS.get(model)} if questions else set()
    return [
        rescored_variant(
            data.collection.queries,
            data.first_stage.rankings,
            objective,
            data.collection.qrels,
            model=model,
            scores=data.scores[model],
            default_weights=data.blend_weights[model],
            rescorer=rescorer,
            rescored=scores,
            automatic=rescorer in data.automatic,
            mode=mode,
            depth=depth,
            latency_ms=data.latency_ms(mode, rescored_name(model, rescorer), depth),
            fusion=fusion,
            probabilities=data.probabilities.get(model),
        )
        for rescorer, scores in data.rescored.items()
        if rescorer not in data.automatic or rescorer in automatic
    ]


def _load_rescorers(
    index: Search, rescore: Sequence[Rerank], rerankers: Mapping[str, BaseReranker]
) -> tuple[dict[str, BaseReranker], frozenset[str]]:
    """Return the rescorers by name, and those that only "auto" stands for."""
    asked = [r for r in rescore if r not in (RESCORE_AUTO, RESCORE_NONE)]
    named = {r.model: r for r in map(index.reranker, asked)}
    own: set[str] = set()
    if RESCORE_AUTO in rescore:
        own = {r.default_rescorer for r in rerankers.values() if r.default_rescorer is not None}
    automatic = frozenset(own - named.keys())
    return named | {name: index.reranker(name) for name in sorted(automatic)}, automatic


def _margins(
    cheap: BaseReranker, rerankers: Mapping[str, BaseReranker], max_depth: int
) -> tuple[dict[str, Margin], list[str]]:
    """Return the margins of the models that have one, and a note on those that have none."""
    margins: dict[str, Margin] = {}
    refusal: InputError | None = None
    for name, reranker in rerankers.items():
        try:
            margins[name] = bundled_margin(cheap, reranker)
        except InputError as error:
            refusal = error
    if refusal is not None and not margins:
        raise refusal
    shortest = min(margin.k for margin in margins.values())
    if max_depth <= shortest:
        raise InputError(
            f"a cascade does nothing with {max_depth} candidates",
            why=f"up to {shortest} are all scored by the full model",
            fix=f"Give --depths above {shortest}.",
        )
    without = [name for name in rerankers if name not in margins]
    note = f"no cascade of {cheap.model} is known for {', '.join(without)}"
    return margins, [note] if without else []


def check_depths(depths: Sequence[int]) -> list[int]:
    """Return depths in rising order, each once, or raise InputError."""
    invalid = [depth for depth in depths if type(depth) is not int or depth < 1]
    if invalid or not depths:
        raise InputError(
            "the depths cannot be used",
            why=f"{invalid[0]!r} is among them" if invalid else "there are none",
            fix="Give whole numbers from 1 up, such as 10 20 50.",
        )
    return sorted(set(depths))


def check_query_count(collection: Collection) -> None:
    """Raise InputError for a collection with too few queries to fit and evaluate on."""
    n = len(collection.queries)
    if n < MIN_QUERIES:
        raise InputError(
            f"{n} judged quer{'y is' if n == 1 else 'ies are'} too few",
            where=collection.name,
            why="weights are fitted on some of them and evaluated on the rest",
            fix=f"Judge {MIN_QUERIES} or, better, 50; `secondpass eval` takes any number.",
        )


def _stage_progress(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
