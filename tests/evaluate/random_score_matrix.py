"""Small pools with known scores and grades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.score_matrix import ScoreMatrix, build_score_matrix

Row = tuple[float, float, float, int]
"""Reranker's score, cosine, BM25 and grade of one candidate."""


def pool_of(questions: Sequence[Sequence[Row]]) -> ScoreMatrix:
    names = {f"q{i}": rows for i, rows in enumerate(questions)}
    return build_score_matrix(
        {query: f"question {query}" for query in names},
        {
            query: [
                FirstStageCandidate(f"d{i}", bm25, vector)
                for i, (_, vector, bm25, _) in enumerate(rows)
            ]
            for query, rows in names.items()
        },
        {
            query: {f"d{i}": rerank for i, (rerank, *_) in enumerate(rows)}
            for query, rows in names.items()
        },
        qrels_of(questions),
    )


def qrels_of(questions: Sequence[Sequence[Row]]) -> dict[str, dict[str, int]]:
    return {
        f"q{i}": {f"d{j}": row[3] for j, row in enumerate(rows)}
        for i, rows in enumerate(questions)
    }


def random_pool(seed: int, informative: Sequence[float], questions: int = 30) -> ScoreMatrix:
    """A pool whose grades follow its columns (rerank, vector, bm25) by these weights."""
    chooser = np.random.default_rng(seed)
    rows = []
    for _ in range(questions):
        columns = chooser.standard_normal((20, 3))
        truth = columns @ np.array(informative)
        grades = (truth >= np.sort(truth)[-3]).astype(int)
        rows.append([(*map(float, c), int(g)) for c, g in zip(columns, grades, strict=True)])
    return pool_of(rows)
