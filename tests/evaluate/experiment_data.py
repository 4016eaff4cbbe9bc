"""Synthetic experiment data: rankings, scores and latencies from random relevance."""

from __future__ import annotations

import numpy as np

from secondpass import Document, ScoreKind
from secondpass.evaluate.cascade_simulation import CascadeSimulation
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.experiment import ExperimentData
from secondpass.evaluate.first_stage import (
    FirstStageCandidate,
    FirstStageRankings,
    FirstStageRuns,
)
from secondpass.evaluate.latency import Latencies, Latency
from secondpass.rerank.policies.cascade import Margin


def make_experiment_data(
    *,
    knows: float,
    queries: int = 40,
    documents: int = 30,
    seed: int = 0,
    timed: bool = True,
    probabilities: bool = False,
    cascade: bool = False,
    rescorer_knows: float | None = None,
) -> ExperimentData:
    """BM25 and vectors know something each; the reranker knows the truth by `knows`.

    With `probabilities` it gives some, which are overconfident. With `cascade` there is a
    cheap model before it with the same scores in a quarter of the time. With `rescorer_knows`
    another model reads the first candidates again, which knows so much.
    """
    chooser = np.random.default_rng(seed)
    rankings, grades = {}, {}
    scores: dict[str, dict[str, float]] = {}
    rescored: dict[str, dict[str, float]] = {}
    for number in range(queries):
        truth, words, meaning, noise = chooser.standard_normal((4, documents))
        words, meaning = words + truth, meaning + truth
        names = [f"d{i:02}" for i in range(documents)]
        candidates = [
            FirstStageCandidate(name, float(b), float(v))
            for name, b, v in zip(names, words, meaning, strict=True)
        ]
        query = f"q{number}"
        rankings[query] = FirstStageRankings(
            sorted(candidates, key=lambda c: -(c.bm25 or 0.0)),
            sorted(candidates, key=lambda c: -(c.vector or 0.0)),
        )
        read = knows * truth + (1 - knows) * noise
        scores[query] = dict(zip(names, read.tolist(), strict=True))
        if rescorer_knows is not None:
            # Drawn apart, so that all else stays what it is without.
            other = np.random.default_rng([seed, number]).standard_normal(documents)
            again = rescorer_knows * truth + (1 - rescorer_knows) * other
            rescored[query] = dict(zip(names, again.tolist(), strict=True))
        best = set(np.argsort(-truth)[:3].tolist())
        grades[query] = {name: int(i in best) for i, name in enumerate(names)}
    texts = {f"d{i:02}": Document(f"text <{i}>", id=f"d{i:02}") for i in range(documents)}
    depths = [5, 10, 20]
    second = {("wise & old", d): Latency(2.0 * d, 3.0 * d, 20) for d in depths}
    cascades = {}
    if cascade:
        cascades["wise & old"] = CascadeSimulation("quick", scores, Margin(1.0, k=10))
        second |= {("quick then wise & old", d): Latency(0.5 * d, d, 20) for d in depths}
    if rescored:
        second |= {("wise & old rescored by slow", d): Latency(9.0 * d, d, 20) for d in depths}
    first = {m: Latency(5.0, 8.0, 20) for m in ("hybrid", "bm25", "vector")}
    return ExperimentData(
        Collection("made <up>", {q: f"what is {q}?" for q in grades}, grades),
        FirstStageRuns(rankings, texts, documents),
        depths,
        {"wise & old": scores},
        {"wise & old": {"rerank": 1.0, "vector": 0.4, "bm25": 0.6}},
        Latencies(first, second) if timed else None,
        probabilities={"wise & old": _probabilities(scores)} if probabilities else {},
        score_kinds={"wise & old": ScoreKind.LOGIT},
        cascades=cascades,
        rescored={"slow": rescored} if rescored else {},
    )


def make_clustered_data(
    near: str, *, queries: int = 40, documents: int = 40, relevant: int = 12, seed: int = 0
) -> ExperimentData:
    """Each query has many relevant documents, of which the reranker knows something.

    By `near`, the vectors of "relevant" or of "irrelevant" documents are like each other;
    with "none" they are all apart.
    """
    chooser = np.random.default_rng(seed)
    rankings, grades, texts = {}, {}, {}
    vectors: dict[str, np.ndarray] = {}
    scores: dict[str, dict[str, float]] = {}
    for number in range(queries):
        query = f"q{number}"
        names = [f"{query}-d{i:02}" for i in range(documents)]
        is_relevant = np.arange(documents) < relevant
        chooser.shuffle(is_relevant)
        words, meaning, read = chooser.standard_normal((3, documents)) + 0.5 * is_relevant
        candidates = [
            FirstStageCandidate(name, float(b), float(v))
            for name, b, v in zip(names, words, meaning, strict=True)
        ]
        rankings[query] = FirstStageRankings(
            sorted(candidates, key=lambda c: -(c.bm25 or 0.0)),
            sorted(candidates, key=lambda c: -(c.vector or 0.0)),
        )
        scores[query] = dict(zip(names, (read - 0.5).tolist(), strict=True))
        grades[query] = {n: int(r) for n, r in zip(names, is_relevant, strict=True)}
        texts |= {name: Document(f"text of {name}", id=name) for name in names}
        rows = np.eye(documents, documents + 1, dtype=np.float32)
        alike = {"relevant": is_relevant, "irrelevant": ~is_relevant}.get(near)
        if alike is not None:
            rows[alike, -1] = 1.0
        vectors |= dict(zip(names, rows, strict=True))
    depths = [documents // 2, documents]
    first = {m: Latency(5.0, 8.0, 20) for m in ("hybrid", "bm25", "vector")}
    return ExperimentData(
        Collection("clusters", {q: f"what is {q}?" for q in grades}, grades),
        FirstStageRuns(rankings, texts, documents, vectors),
        depths,
        {"half wise": scores},
        {"half wise": {"rerank": 1.0, "vector": 0.2, "bm25": 0.3}},
        Latencies(
            first,
            {("half wise", d): Latency(2.0 * d, 3.0 * d, 20) for d in depths},
            {d: Latency(1.0, 2.0, 20) for d in depths},
        ),
        probabilities={"half wise": _probabilities(scores)},
        score_kinds={"half wise": ScoreKind.LOGIT},
    )


def _probabilities(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        query: {name: 1 / (1 + float(np.exp(-4 * score))) for name, score in found.items()}
        for query, found in scores.items()
    }
