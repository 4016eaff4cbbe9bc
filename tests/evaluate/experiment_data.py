"""Evidence without an index: halves, scores and times that are made up by a rule."""

from __future__ import annotations

import numpy as np

from secondpass import Document, ScoreKind
from secondpass.evaluate.cascade_simulation import CascadeSimulation
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.experiment import ExperimentData
from secondpass.evaluate.first_stage import Entry, FirstStageRuns, Halves
from secondpass.evaluate.latency import Latencies, Latency
from secondpass.rerank.policies.cascade import Margin


def made(
    *,
    knows: float,
    queries: int = 40,
    documents: int = 30,
    seed: int = 0,
    timed: bool = True,
    chances: bool = False,
    cascade: bool = False,
) -> ExperimentData:
    """BM25 and vectors know something each; the reranker knows the truth by `knows`.

    With `chances` it gives probabilities, which are too sure. With `cascade` there is a
    model before it that says the same in a quarter of the time.
    """
    chooser = np.random.default_rng(seed)
    halves, grades = {}, {}
    scores: dict[str, dict[str, float]] = {}
    for number in range(queries):
        truth, words, meaning, noise = chooser.standard_normal((4, documents))
        words, meaning = words + truth, meaning + truth
        names = [f"d{i:02}" for i in range(documents)]
        entries = [
            Entry(name, float(b), float(v))
            for name, b, v in zip(names, words, meaning, strict=True)
        ]
        query = f"q{number}"
        halves[query] = Halves(
            sorted(entries, key=lambda e: -(e.bm25 or 0.0)),
            sorted(entries, key=lambda e: -(e.vector or 0.0)),
        )
        read = knows * truth + (1 - knows) * noise
        scores[query] = dict(zip(names, read.tolist(), strict=True))
        best = set(np.argsort(-truth)[:3].tolist())
        grades[query] = {name: int(i in best) for i, name in enumerate(names)}
    texts = {f"d{i:02}": Document(f"text <{i}>", id=f"d{i:02}") for i in range(documents)}
    depths = [5, 10, 20]
    second = {("wise & old", d): Latency(2.0 * d, 3.0 * d, 20) for d in depths}
    sieves = {}
    if cascade:
        sieves["wise & old"] = CascadeSimulation("quick", scores, Margin(1.0, k=10))
        second |= {("quick then wise & old", d): Latency(0.5 * d, d, 20) for d in depths}
    first = {m: Latency(5.0, 8.0, 20) for m in ("hybrid", "bm25", "vector")}
    return ExperimentData(
        Collection("made <up>", {q: f"what is {q}?" for q in grades}, grades),
        FirstStageRuns(halves, texts, documents),
        depths,
        {"wise & old": scores},
        {"wise & old": {"rerank": 1.0, "vector": 0.4, "bm25": 0.6}},
        Latencies(first, second) if timed else None,
        chances={"wise & old": _chances(scores)} if chances else {},
        kinds={"wise & old": ScoreKind.LOGIT},
        sieves=sieves,
    )


def _chances(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        query: {name: 1 / (1 + float(np.exp(-4 * score))) for name, score in found.items()}
        for query, found in scores.items()
    }
