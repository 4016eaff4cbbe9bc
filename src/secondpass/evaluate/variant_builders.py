"""Builders of search variants: the first stage, tuned fusion, and rerankers at a depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np

from secondpass.evaluate.blend_weights import standardize_columns, weight_grid, weighted_sum
from secondpass.evaluate.cascade_simulation import CascadeSimulation, apply_cascade
from secondpass.evaluate.first_stage import FirstStageCandidate, FirstStageRankings
from secondpass.evaluate.pair_scores import ProbabilitiesByQuery, ScoresByQuery
from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.rescore_simulation import add_rescored, window_positions
from secondpass.evaluate.score_matrix import (
    COLUMNS,
    NEIGHBORS,
    FloatArray,
    Objective,
    ScoreMatrix,
    Vectors,
    build_score_matrix,
    ranked_ids,
    ranked_probabilities,
)
from secondpass.evaluate.variants import SearchVariant, Settings
from secondpass.models import RESCORERS
from secondpass.option_values import (
    RESCORE_AUTO,
    RESCORE_NONE,
    RESCORE_WEIGHT,
    RESCORE_WINDOW,
)
from secondpass.rerank.policies.rescore import weight_share
from secondpass.rerank.question import is_question
from secondpass.retrieve.fusion import METHODS, fuse

BM25_SHARES = tuple(i / 20 for i in range(21))
"""The weight of BM25 in a fusion, of 1 in all; the rest is the vectors'."""
BLEND_STEP = 4
NEIGHBOR_WEIGHTS = (0.2, 0.4, 0.8)
"""The weights of neighbors that are tried beside none; the largest other weight is 1."""
WITH_NEIGHBORS = "tuned blend with neighbors"
RESCORE_WEIGHTS = (RESCORE_WEIGHT, 0.2, 0.3, 0.8, 1.2)
"""The weights of a second reading that are tried."""

Rankings = Mapping[str, FirstStageRankings]
"""By query id."""


def first_stage_variant(
    queries: Mapping[str, str],
    rankings: Rankings,
    objective: Objective,
    qrels: Grades,
    *,
    mode: str,
    depth: int,
    latency_ms: float,
) -> SearchVariant:
    """Return the first stage in a mode, with default arguments."""
    candidates = {q: rankings[q].candidates(mode, depth) for q in queries}
    matrix = build_score_matrix(queries, candidates, None, qrels)
    scores = _first_stage_order(matrix)
    settings = {"mode": mode, "candidates": depth, "rerank": False}
    label = {"bm25": "BM25", "vector": "vectors", "hybrid": "hybrid, default fusion"}[mode]
    if any(ranking.single for ranking in rankings.values()):
        label = "the source's own ranking"
    return SearchVariant(
        label,
        [settings],
        objective(matrix, scores)[None, :],
        latency_ms,
        "as found",
        lambda _: ranked_ids(matrix, scores),
        mode=mode,
        depth=depth,
    )


def fusion_variant(
    queries: Mapping[str, str],
    rankings: Rankings,
    objective: Objective,
    qrels: Grades,
    *,
    depth: int,
    latency_ms: float,
) -> SearchVariant:
    """Return hybrid search with every fusion and weight of BM25, the default one first."""
    # By id, which is how fusion orders ties.
    candidates: dict[str, Sequence[FirstStageCandidate]] = {
        q: sorted(rankings[q].cut(depth).by_id.values(), key=lambda c: c.id) for q in queries
    }
    matrix = build_score_matrix(queries, candidates, None, qrels)
    settings: list[Settings] = []
    methods_and_shares: list[tuple[str, float]] = []
    for method in METHODS:
        for share in sorted(BM25_SHARES, key=lambda s: abs(s - 0.5)):
            settings.append(
                {
                    "mode": "hybrid",
                    "candidates": depth,
                    "fusion": method,
                    "weights": [share, round(1 - share, 3)],
                    "rerank": False,
                }
            )
            methods_and_shares.append((method, share))
    parts = {m: _fusion_parts(queries, rankings, candidates, m, depth, matrix) for m in METHODS}

    def fused_scores(setting: int) -> FloatArray:
        method, share = methods_and_shares[setting]
        bm25, vector = parts[method]
        total: FloatArray = share * bm25 + (1 - share) * vector
        return total

    values = np.array([objective(matrix, fused_scores(i)) for i in range(len(settings))])
    return SearchVariant(
        "tuned fusion",
        settings,
        values,
        latency_ms,
        "fusion",
        lambda i: ranked_ids(matrix, fused_scores(i)),
        depth=depth,
    )


def reranked_variants(
    queries: Mapping[str, str],
    rankings: Rankings,
    objective: Objective,
    qrels: Grades,
    *,
    model: str,
    scores: ScoresByQuery,
    default_weights: Mapping[str, float],
    mode: str,
    depth: int,
    latency_ms: float,
    fusion: str = "rrf",
    probabilities: ProbabilitiesByQuery | None = None,
    cascade: CascadeSimulation | None = None,
    vectors: Vectors | None = None,
    neighbors_latency_ms: float | None = None,
) -> list[SearchVariant]:
    """Return a reranker at one depth: with the default blend, alone, with a tuned blend.

    Where `vectors` and `probabilities` are known, a blend with neighbors is tuned apart from
    the one without, so that cross-fitting chooses between the two; its latency is
    `neighbors_latency_ms`, or else `latency_ms`. `default_weights` are those that `search`
    would blend by; with `cascade` the reranker is the full model behind a cheap one.
    """
    candidates = {q: rankings[q].candidates(mode, depth, fusion) for q in queries}
    scored_ids = {q: {c.id for c in candidates[q]} for q in queries}
    if cascade is not None:
        scored_ids = {q: cascade.survivor_ids(q, candidates[q]) for q in queries}
        cut = {q: apply_cascade(candidates[q], scores[q], scored_ids[q]) for q in queries}
        candidates = {q: ordered for q, (ordered, _) in cut.items()}
        scores = {q: values for q, (_, values) in cut.items()}
    given = {} if probabilities is None else probabilities
    known = {
        q: {name: p for name, p in given.get(q, {}).items() if name in scored_ids[q]}
        for q in queries
    }
    matrix = build_score_matrix(
        queries, candidates, scores, qrels, probabilities=known, vectors=vectors
    )
    candidate_probabilities = [[known[q].get(c.id) for c in candidates[q]] for q in queries]
    columns = standardize_columns(matrix)
    tuned_weights = [
        {name: round(x / max(point), 3) for name, x in zip(COLUMNS, point, strict=True)}
        for point in weight_grid(len(COLUMNS), BLEND_STEP)
        if point[0] > 0
    ]
    base = _settings(model, mode, depth, fusion)
    if cascade is not None:
        base = {**base, "cascade": True}
    # By order: the `blend` argument of `Index.search`, and the weights that it means.
    blends: dict[str, list[tuple[object, Mapping[str, float]]]] = {
        "blend": [(True, default_weights)],
        "alone": [(False, {"rerank": 1.0})],
        "tuned blend": [
            (dict(default_weights), default_weights),
            *((weights, weights) for weights in tuned_weights),
        ],
    }
    if NEIGHBORS in columns:
        with_neighbors = [
            {**weights, NEIGHBORS: weight}
            for weight in NEIGHBOR_WEIGHTS
            for weights in (default_weights, *tuned_weights)
        ]
        blends[WITH_NEIGHBORS] = [(weights, weights) for weights in with_neighbors]
    first_stage = _describe(mode, depth, fusion)
    reranker = model if cascade is None else cascade.name(model)

    def variant(order: str) -> SearchVariant:
        options = blends[order]
        ms = latency_ms
        if order == WITH_NEIGHBORS and neighbors_latency_ms is not None:
            ms = neighbors_latency_ms

        def blended_scores(setting: int) -> FloatArray:
            return weighted_sum(columns, options[setting][1])

        return SearchVariant(
            f"{reranker}, {first_stage}, {order}",
            [{**base, "blend": blend} for blend, _ in options],
            np.array([objective(matrix, blended_scores(i)) for i in range(len(options))]),
            ms,
            order,
            lambda i: ranked_ids(matrix, blended_scores(i)),
            model=model,
            mode=mode,
            depth=depth,
            ranked_probabilities=lambda i: ranked_probabilities(
                matrix, blended_scores(i), candidate_probabilities
            ),
        )

    return [variant(order) for order in blends]


def rescored_variant(
    queries: Mapping[str, str],
    rankings: Rankings,
    objective: Objective,
    qrels: Grades,
    *,
    model: str,
    scores: ScoresByQuery,
    default_weights: Mapping[str, float],
    rescorer: str,
    rescored: ScoresByQuery,
    automatic: bool = False,
    mode: str,
    depth: int,
    latency_ms: float,
    fusion: str = "rrf",
    probabilities: ProbabilitiesByQuery | None = None,
) -> SearchVariant:
    """Return a reranker with the default blend, whose first candidates are read again.

    `rescored` are the rescorer's scores of at least `passages_to_rescore`. An `automatic` one
    reads for questions alone. Several weights are tried, the default one first.
    """
    candidates = {q: rankings[q].candidates(mode, depth, fusion) for q in queries}
    matrix = build_score_matrix(queries, candidates, scores, qrels)
    blended, positions = _first_of_blend(matrix, default_weights)
    read = [
        [rescored[q][candidates[q][i].id] for i in row]
        for q, row in zip(queries, positions, strict=True)
    ]
    given = {} if probabilities is None else probabilities
    known = [[given.get(q, {}).get(c.id) for c in candidates[q]] for q in queries]
    reads = [not automatic or is_question(text) for text in queries.values()]
    shares = [weight_share(row) * read for row, read in zip(known, reads, strict=True)]

    def changed(setting: int) -> FloatArray:
        weight = RESCORE_WEIGHTS[setting]
        return add_rescored(matrix, blended, positions, read, weight, shares)

    base = {
        **_settings(model, mode, depth, fusion),
        "blend": True,
        "rescore": RESCORE_AUTO if automatic else rescorer,
        "rescore_window": RESCORE_WINDOW,
    }
    order = f"blend, {'questions ' * automatic}rescored by {rescorer}"
    return SearchVariant(
        f"{model}, {_describe(mode, depth, fusion)}, {order}",
        [{**base, "rescore_weight": weight} for weight in RESCORE_WEIGHTS],
        np.array([objective(matrix, changed(i)) for i in range(len(RESCORE_WEIGHTS))]),
        latency_ms,
        order,
        lambda i: ranked_ids(matrix, changed(i)),
        model=model,
        mode=mode,
        depth=depth,
        ranked_probabilities=lambda i: ranked_probabilities(matrix, changed(i), known),
        rescorer=rescorer,
    )


def passages_to_rescore(
    queries: Mapping[str, str],
    rankings: Rankings,
    first_stages: Iterable[tuple[str, int, str]],
    models: Iterable[tuple[ScoresByQuery, Mapping[str, float]]],
) -> dict[str, list[str]]:
    """Return the ids of each query that `rescored_variant` needs, each once.

    - `first_stages`: (mode, depth, fusion); `models`: scores and weights of the blend.
    """
    found: dict[str, dict[str, None]] = {q: {} for q in queries}
    nothing: Grades = {q: {} for q in queries}
    for (mode, depth, fusion), (scores, weights) in product(list(first_stages), list(models)):
        candidates = {q: rankings[q].candidates(mode, depth, fusion) for q in queries}
        matrix = build_score_matrix(queries, candidates, scores, nothing)
        _, positions = _first_of_blend(matrix, weights)
        for q, row in zip(queries, positions, strict=True):
            found[q] |= dict.fromkeys(candidates[q][i].id for i in row)
    return {q: list(names) for q, names in found.items()}


def oracle_values(
    queries: Mapping[str, str],
    rankings: Rankings,
    objective: Objective,
    qrels: Grades,
    *,
    mode: str,
    depth: int,
) -> FloatArray:
    """Return what a perfect second pass would reach at a depth, [queries]."""
    candidates = {q: rankings[q].candidates(mode, depth) for q in queries}
    matrix = build_score_matrix(queries, candidates, None, qrels)
    return objective(matrix, matrix.grades)


def passages_to_score(
    queries: Iterable[str], rankings: Rankings, first_stages: Iterable[tuple[str, int, str]]
) -> dict[str, list[str]]:
    """Return the ids of each query's candidates, each once, by (mode, depth, fusion)."""
    combinations = list(first_stages)
    return {
        q: list(
            dict.fromkeys(
                candidate.id
                for mode, depth, fusion in combinations
                for candidate in rankings[q].candidates(mode, depth, fusion)
            )
        )
        for q in queries
    }


def _first_of_blend(
    matrix: ScoreMatrix, weights: Mapping[str, float]
) -> tuple[FloatArray, list[list[int]]]:
    """Return the blended scores, and the positions of what a rescorer reads of each query."""
    blended = weighted_sum(standardize_columns(matrix), weights)
    return blended, window_positions(matrix, blended, RESCORE_WINDOW)


def _settings(model: str, mode: str, depth: int, fusion: str) -> Settings:
    settings = {"mode": mode, "candidates": depth, "rerank": model}
    if mode == "hybrid" and fusion != "rrf":
        settings["fusion"] = fusion
    if model in RESCORERS:
        # The default would read the first candidates again.
        settings["rescore"] = RESCORE_NONE
    return settings


def _describe(mode: str, depth: int, fusion: str) -> str:
    return f"{depth} of {mode}" + ("" if fusion == "rrf" else f" ({fusion})")


def _first_stage_order(matrix: ScoreMatrix) -> FloatArray:
    """Return scores that keep the order of the candidates."""
    falling: FloatArray = -np.arange(matrix.mask.shape[1], dtype=np.float64)
    return np.broadcast_to(falling, matrix.mask.shape)


def _fusion_parts(
    queries: Mapping[str, str],
    rankings: Rankings,
    candidates: Mapping[str, Sequence[FirstStageCandidate]],
    method: str,
    depth: int,
    matrix: ScoreMatrix,
) -> tuple[FloatArray, FloatArray]:
    """Return what BM25 and the vectors add to a fused score, with a weight of 1."""
    parts = (np.zeros(matrix.mask.shape), np.zeros(matrix.mask.shape))
    for row, query in enumerate(queries):
        scored_ids = rankings[query].cut(depth).scored_ids
        for part, weights in zip(parts, ((1.0, 0.0), (0.0, 1.0)), strict=True):
            scores = dict(fuse(scored_ids, method, weights))
            part[row, : len(candidates[query])] = [scores[c.id] for c in candidates[query]]
    return parts
