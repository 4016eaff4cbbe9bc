"""All that a study needs of one collection: what was found, scored and timed.

How long searches take on this machine, one after another, warm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from secondpass.errors import InputError
from secondpass.evaluate.cascade_simulation import (
    CascadeSimulation,
    Chances,
    Pairs,
    Scores,
    score_pairs,
)
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.first_stage import FirstStageRuns, check_mode, find
from secondpass.evaluate.measures import DEPTHS
from secondpass.evaluate.variant_builders import needed
from secondpass.index.composition import CHEAP
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.blend import Blend
from secondpass.rerank.policies.cascade import Cascade, Margin, bundled_margin
from secondpass.retrieve.fusion import check_method
from secondpass.types import ScoreKind

if TYPE_CHECKING:
    from secondpass.index.index import Index, Rerank
    from secondpass.rerank.base import BaseReranker


SEARCHES = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of `searches` searches: the median and the 95th percentile."""

    median: float
    p95: float
    searches: int


@dataclass(frozen=True)
class Latencies:
    """`first` by mode, without a second pass; `second` by model and depth, of that alone."""

    first: Mapping[str, Latency]
    second: Mapping[tuple[str, int], Latency]

    def total(self, mode: str, model: str | None = None, depth: int = 0) -> float:
        """Return the median of a search in milliseconds, both passes added up."""
        first = self.first[mode].median
        return first if model is None else first + self.second[model, depth].median


def measure_latency(
    index: Index,
    queries: Sequence[str],
    models: Mapping[str, BaseReranker],
    depths: Sequence[int],
    *,
    modes: Sequence[str] = ("hybrid",),
    searches: int = SEARCHES,
    progress: Callable[[int, int], None] | None = None,
) -> Latencies:
    """Time searches of some of the queries, spread over all of them.

    The first search of each kind is not counted: it loads what later ones find loaded.
    """
    step = max(1, len(queries) // searches)
    some = list(queries)[::step][:searches]
    total, done = (len(modes) + len(models) * len(depths)) * (len(some) + 1), 0

    def timed(search: Callable[[str], float]) -> Latency:
        nonlocal done
        times = []
        for query in (some[0], *some):
            times.append(search(query))
            done += 1
            if progress is not None:
                progress(done, total)
        median, p95 = np.percentile(times[1:], [50, 95])
        return Latency(float(median), float(p95), len(some))

    def first(mode: str) -> Callable[[str], float]:
        deep = max(depths)
        return lambda query: index.search(
            query, mode=mode, candidates=deep, rerank=False, return_documents=False
        ).timings["total"]

    def second(model: BaseReranker, depth: int) -> Callable[[str], float]:
        return lambda query: index.search(
            query, mode=modes[0], candidates=depth, rerank=model, return_documents=False
        ).timings["rerank"]

    return Latencies(
        {mode: timed(first(mode)) for mode in modes},
        {
            (name, depth): timed(second(model, depth))
            for name, model in models.items()
            for depth in depths
        },
    )


LEAST_QUERIES = 10

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True)
class ExperimentData:
    """What two passes did with a collection, to the deepest of `depths`.

    - `scores`: by model; `blends`: the weights that `search` blends each model's by.
    - `latencies`: None where nothing was timed; of a cascade as `CascadeSimulation.before` calls it.
    - `chances`, `kinds`: the probabilities of each model, and the kind of its scores.
    - `sieves`: by model, the cheap half of its cascade, where cascades are compared.
    """

    collection: Collection
    found: FirstStageRuns
    depths: Sequence[int]
    scores: Mapping[str, Scores]
    blends: Mapping[str, Mapping[str, float]]
    latencies: Latencies | None = None
    modes: Sequence[str] = field(default=("hybrid", "bm25", "vector"))
    chances: Mapping[str, Chances] = field(default_factory=dict)
    kinds: Mapping[str, ScoreKind] = field(default_factory=dict)
    sieves: Mapping[str, CascadeSimulation] = field(default_factory=dict)

    def cost(self, mode: str, model: str | None = None, depth: int = 0) -> float:
        """Return the milliseconds of a search, 0 where nothing was timed."""
        if self.latencies is None:
            return 0.0
        return self.latencies.total(mode, model, depth)


def collect(
    index: Index,
    collection: Collection,
    *,
    models: Sequence[Rerank] = ("bundled",),
    depths: Sequence[int] = DEPTHS,
    passes: Sequence[tuple[str, str]] = (("hybrid", "rrf"),),
    cascade: bool = False,
    progress: Progress | None = None,
) -> ExperimentData:
    """Search, score and time a collection on an index.

    `passes` are the modes and fusions whose candidates are reranked. Every pair of query
    and candidate is scored once by each model, whatever the depth. With `cascade`, the
    bundled cheap model scores them too, and each model that has a margin for it is timed
    behind it. Raises InputError for fewer than 10 queries (fitting and judging need some
    each), no depth, ids of which none is in the index, or a cascade that cannot be.
    """
    from secondpass.retrieve.retriever import Retriever

    depths = check_depths(depths)
    check_enough(collection)
    if not models:
        raise InputError("there is no model to rerank with", fix='Name one, such as "bundled".')
    for mode, fusion in passes:
        check_mode(mode)
        check_method(fusion)
    judged = list({d for grades in collection.qrels.values() for d in grades})
    collection = collection.checked(index.store.stored(judged), "the index")
    rerankers = {r.model: r for r in (index.reranker(model) for model in models)}
    cheap = index.reranker(CHEAP) if cascade else None
    margins: Mapping[str, Margin] = {}
    if cheap is not None:
        margins, note = _margins(cheap, rerankers, depths[-1])
        collection = replace(collection, notes=(*collection.notes, *note))
    retriever = Retriever(index.store, index.embedder)
    try:
        found = find(
            retriever, collection.queries, depths[-1], progress=_stage(progress, "searching")
        )
    finally:
        retriever.close()
    wanted = needed(
        collection.queries,
        found.halves,
        [(mode, d, fusion) for mode, fusion in passes for d in depths],
    )

    def read(reranker: BaseReranker) -> Pairs:
        stage = _stage(progress, f"reading ({reranker.model})")
        return score_pairs(
            reranker, collection.queries, wanted, found.documents, progress=stage
        )

    pairs = {name: read(reranker) for name, reranker in rerankers.items()}
    sieves: dict[str, CascadeSimulation] = {}
    timed = dict(rerankers)
    if cheap is not None:
        first = pairs[CHEAP] if CHEAP in pairs else read(cheap)
        for name, margin in margins.items():
            sieves[name] = CascadeSimulation(CHEAP, first.scores, margin)
            timed[sieves[name].before(name)] = Cascade(cheap, rerankers[name], margin)
    modes = ("hybrid", "bm25", "vector") if index.store.dimension else ("bm25",)
    latencies = measure_latency(
        index,
        list(collection.queries.values()),
        timed,
        depths,
        modes=modes,
        progress=_stage(progress, "timing"),
    )
    blends = {name: Blend(reranker).weights for name, reranker in rerankers.items()}
    return ExperimentData(
        collection,
        found,
        depths,
        {name: one.scores for name, one in pairs.items()},
        blends,
        latencies,
        modes,
        {name: one.chances for name, one in pairs.items()},
        {name: one.kind for name, one in pairs.items()},
        sieves,
    )


def _margins(
    cheap: BaseReranker, rerankers: Mapping[str, BaseReranker], deepest: int
) -> tuple[dict[str, Margin], list[str]]:
    """Return the margins of the models that have one, and a note on those that have none."""
    found: dict[str, Margin] = {}
    refused: InputError | None = None
    for name, reranker in rerankers.items():
        try:
            found[name] = bundled_margin(cheap, reranker)
        except InputError as error:
            refused = error
    if refused is not None and not found:
        raise refused
    least = min(margin.k for margin in found.values())
    if deepest <= least:
        raise InputError(
            f"a cascade does nothing with {deepest} candidates",
            why=f"up to {least} are all read by the full model",
            fix=f"Give --depths above {least}.",
        )
    without = [name for name in rerankers if name not in found]
    told = f"no cascade of {cheap.model} is known for {', '.join(without)}"
    return found, [told] if without else []


def check_depths(depths: Sequence[int]) -> list[int]:
    """Return depths in rising order, each once, or raise InputError."""
    strange = [d for d in depths if type(d) is not int or d < 1]
    if strange or not depths:
        raise InputError(
            "the depths cannot be used",
            why=f"{strange[0]!r} is among them" if strange else "there are none",
            fix="Give whole numbers from 1 up, such as 10 20 50.",
        )
    return sorted(set(depths))


def check_enough(collection: Collection) -> None:
    """Raise InputError for a collection with too few queries to fit and judge on."""
    n = len(collection.queries)
    if n < LEAST_QUERIES:
        raise InputError(
            f"{n} judged quer{'y is' if n == 1 else 'ies are'} too few",
            where=collection.name,
            why="weights are fitted on a part of them and judged on the rest",
            fix=f"Judge {LEAST_QUERIES} or, better, 50; `secondpass eval` takes any number.",
        )


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
