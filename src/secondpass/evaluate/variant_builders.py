"""The ways to search that are compared, each as a family of settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from secondpass.evaluate.blend_weights import fused, grid, standardised
from secondpass.evaluate.cascade_simulation import CascadeSimulation, sieved
from secondpass.evaluate.first_stage import Entry, Halves
from secondpass.evaluate.pair_scores import Chances, Scores
from secondpass.evaluate.score_matrix import (
    COLUMNS,
    Matrix,
    Objective,
    ScoreMatrix,
    listed,
    pool,
    ranked_ids,
)
from secondpass.evaluate.variants import SearchVariant, Settings
from secondpass.retrieve.fusion import METHODS, fuse

SHARES = tuple(i / 20 for i in range(21))
"""What BM25 weighs of 1 in a fusion; the rest is the vectors'."""
BLEND_STEP = 4

Found = Mapping[str, Halves]


def as_found(
    queries: Mapping[str, str],
    found: Found,
    objective: Objective,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    mode: str,
    depth: int,
    cost: float,
) -> SearchVariant:
    """Return the first pass in a mode, as it is without any argument."""
    entries = {q: found[q].first(mode, depth) for q in queries}
    made = pool(queries, entries, None, qrels)
    scores = _falling(made)
    settings = {"mode": mode, "candidates": depth, "rerank": False}
    label = {"bm25": "BM25", "vector": "vectors", "hybrid": "hybrid, default fusion"}[mode]
    return SearchVariant(
        label,
        [settings],
        objective(made, scores)[None, :],
        cost,
        "as found",
        lambda _: ranked_ids(made, scores),
        mode=mode,
        depth=depth,
    )


def tuned_fusion(
    queries: Mapping[str, str],
    found: Found,
    objective: Objective,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    depth: int,
    cost: float,
) -> SearchVariant:
    """Return hybrid search with every fusion and share of BM25, the default one first."""
    # By id, which is how fusing orders ties.
    entries: dict[str, Sequence[Entry]] = {
        q: sorted(_cut(found[q], depth).entries.values(), key=lambda e: e.id) for q in queries
    }
    made = pool(queries, entries, None, qrels)
    settings: list[Settings] = []
    orders: list[tuple[str, float]] = []
    for method in METHODS:
        for share in sorted(SHARES, key=lambda s: abs(s - 0.5)):
            weights = [share, round(1 - share, 3)]
            settings.append(
                {
                    "mode": "hybrid",
                    "candidates": depth,
                    "fusion": method,
                    "weights": weights,
                    "rerank": False,
                }
            )
            orders.append((method, share))
    parts = {m: _fusion_parts(queries, found, entries, m, depth, made) for m in METHODS}

    def scores(setting: int) -> Matrix:
        method, share = orders[setting]
        words, meaning = parts[method]
        total: Matrix = share * words + (1 - share) * meaning
        return total

    values = np.array([objective(made, scores(i)) for i in range(len(settings))])
    return SearchVariant(
        "tuned fusion",
        settings,
        values,
        cost,
        "fusion",
        lambda i: ranked_ids(made, scores(i)),
        depth=depth,
    )


def reranked(
    queries: Mapping[str, str],
    found: Found,
    objective: Objective,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    model: str,
    scores: Scores,
    default: Mapping[str, float],
    mode: str,
    depth: int,
    cost: float,
    fusion: str = "rrf",
    chances: Chances | None = None,
    sieve: CascadeSimulation | None = None,
) -> list[SearchVariant]:
    """Return a reranker at one depth: blended as `search` does, alone, and blended anew.

    `default` are the weights that `search` would blend by; `sieve` is what makes it the
    second half of a cascade.
    """
    entries = {q: found[q].first(mode, depth, fusion) for q in queries}
    seen = {q: {e.id for e in entries[q]} for q in queries}
    if sieve is not None:
        seen = {q: sieve.kept(q, entries[q]) for q in queries}
        through = {q: sieved(entries[q], scores[q], seen[q]) for q in queries}
        entries = {q: ordered for q, (ordered, _) in through.items()}
        scores = {q: values for q, (_, values) in through.items()}
    made = pool(queries, entries, scores, qrels)
    known = {} if chances is None else chances
    likely = [
        [known.get(q, {}).get(e.id) if e.id in seen[q] else None for e in entries[q]]
        for q in queries
    ]
    columns = standardised(made)
    points = [
        {name: round(x / max(point), 3) for name, x in zip(COLUMNS, point, strict=True)}
        for point in grid(len(COLUMNS), BLEND_STEP)
        if point[0] > 0
    ]
    base: Settings = {"mode": mode, "candidates": depth, "rerank": model}
    if mode == "hybrid" and fusion != "rrf":
        base = {**base, "fusion": fusion}
    if sieve is not None:
        base = {**base, "cascade": True}
    ways: dict[str, list[tuple[object, Mapping[str, float]]]] = {
        "blend": [(True, default)],
        "alone": [(False, {"rerank": 1.0})],
        "tuned blend": [(dict(default), default), *((p, p) for p in points)],
    }
    title = f"{depth} of {mode}" + ("" if fusion == "rrf" else f" ({fusion})")
    reader = model if sieve is None else sieve.before(model)

    def family(order: str) -> SearchVariant:
        blends = ways[order]
        return SearchVariant(
            f"{reader}, {title}, {order}",
            [{**base, "blend": blend} for blend, _ in blends],
            np.array([objective(made, fused(columns, weights)) for _, weights in blends]),
            cost,
            order,
            lambda i: ranked_ids(made, fused(columns, blends[i][1])),
            model=model,
            mode=mode,
            depth=depth,
            listed=lambda i: listed(made, fused(columns, blends[i][1]), likely),
        )

    return [family(order) for order in ways]


def oracle(
    queries: Mapping[str, str],
    found: Found,
    objective: Objective,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    mode: str,
    depth: int,
) -> Matrix:
    """Return what a perfect second pass would reach at a depth, [queries]."""
    made = pool(queries, {q: found[q].first(mode, depth) for q in queries}, None, qrels)
    return objective(made, made.grades)


def needed(
    queries: Iterable[str], found: Found, handed: Iterable[tuple[str, int, str]]
) -> dict[str, list[str]]:
    """Return the passages that are handed over, each once, by (mode, depth, fusion)."""
    lists = list(handed)
    return {
        q: list(dict.fromkeys(e.id for how in lists for e in found[q].first(*how)))
        for q in queries
    }


def _cut(halves: Halves, depth: int) -> Halves:
    return Halves(halves.bm25[:depth], halves.vector[:depth])


def _falling(made: ScoreMatrix) -> Matrix:
    places: Matrix = -np.arange(made.there.shape[1], dtype=np.float64)
    return np.broadcast_to(places, made.there.shape)


def _fusion_parts(
    queries: Mapping[str, str],
    found: Found,
    entries: Mapping[str, Sequence[Entry]],
    method: str,
    depth: int,
    made: ScoreMatrix,
) -> tuple[Matrix, Matrix]:
    """Return what each half adds to a fused score, with a weight of 1."""
    parts = (np.zeros(made.there.shape), np.zeros(made.there.shape))
    for row, query in enumerate(queries):
        rankings = _cut(found[query], depth).rankings
        for part, weights in zip(parts, ((1.0, 0.0), (0.0, 1.0)), strict=True):
            scores = dict(fuse(rankings, method, weights))
            part[row, : len(entries[query])] = [scores[e.id] for e in entries[query]]
    return parts
