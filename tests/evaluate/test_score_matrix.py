from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, ScoreKind
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.measures import ranked_values
from secondpass.evaluate.score_matrix import (
    NEIGHBORS,
    build_score_matrix,
    ndcg,
    ranked_ids,
)
from secondpass.policies import Blend
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from tests.evaluate.random_score_matrix import Row, pool_of, qrels_of

# Few distinct values, so that ties and columns of equal scores occur.
numbers = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0])
rows = st.tuples(numbers, numbers, numbers, st.integers(0, 3))
lists = st.lists(st.lists(rows, max_size=14), min_size=1, max_size=4)
weights = st.sampled_from([1.0, 0.5, 0.25]).map(
    lambda w: {"rerank": 1.0, "vector": w, "bm25": 0.5}
)


class Known(BaseReranker):
    """Gives each document the score that its text spells."""

    @property
    def model(self) -> str:
        return "known"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        values = [Score(float(c.document.text)) for c in candidates]
        return Scored(values, ScoreKind.LOGIT)


@settings(max_examples=40)
@given(lists)
def test_ndcg_is_that_of_ir_measures(questions: list[list[Row]]) -> None:
    pool = pool_of(questions)
    scores = pool.columns["rerank"]
    judged = ranked_values(ranked_ids(pool, scores), qrels_of(questions), ["nDCG@10"])[
        "nDCG@10"
    ]
    assert ndcg(pool, scores) == pytest.approx(judged, abs=1e-6)


@given(lists, weights)
def test_the_order_is_that_of_blend(
    questions: list[list[Row]], weights: dict[str, float]
) -> None:
    pool = pool_of(questions)
    ours = weighted_sum(standardize_columns(pool), weights)
    for i, rows in enumerate(questions):
        candidates = [
            Candidate(Document(str(rerank), id=f"d{j}"), rank=j + 1, bm25=bm25, vector=vector)
            for j, (rerank, vector, bm25, _) in enumerate(rows)
        ]
        results = Blend(Known(), weights).rerank("q", candidates).results
        expected = [result.score for result in sorted(results, key=lambda r: r.index)]
        assert ours[i, : len(rows)] == pytest.approx(np.array(expected), abs=1e-9)


chances = st.none() | st.sampled_from([0.0, 0.1, 0.6, 1.0])
directions = st.none() | st.lists(st.integers(-2, 2), min_size=3, max_size=3)
read = st.lists(st.tuples(numbers, numbers, chances, directions), max_size=10)


class Told(BaseReranker):
    """Gives each document the score and the probability that it is made with, by its id."""

    def __init__(self, scores: dict[str, Score]) -> None:
        self.scores = scores

    @property
    def model(self) -> str:
        return "told"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        return Scored([self.scores[c.document.key] for c in candidates], ScoreKind.LOGIT)


@given(st.lists(read, min_size=1, max_size=3), st.sampled_from([0.2, 0.8]))
def test_neighbors_add_what_they_add_in_a_blend(
    lists: list[list[tuple[float, float, float | None, list[int] | None]]], weight: float
) -> None:
    weights = {"rerank": 1.0, "bm25": 0.5, "neighbors": weight}
    ids = {f"q{i}": [f"q{i}-d{j:02}" for j in range(len(rows))] for i, rows in enumerate(lists)}
    made = {
        d: row
        for i, rows in enumerate(lists)
        for d, row in zip(ids[f"q{i}"], rows, strict=True)
    }
    scores = {d: Score(value, probability=p) for d, (value, _, p, _) in made.items()}
    vectors = {d: np.array(v, np.float32) for d, (*_, v) in made.items() if v is not None}
    matrix = build_score_matrix(
        dict.fromkeys(ids, "q"),
        {
            q: [FirstStageCandidate(d, made[d][1], None) for d in names]
            for q, names in ids.items()
        },
        {q: {d: scores[d].value for d in names} for q, names in ids.items()},
        {query: {} for query in ids},
        probabilities={q: {d: scores[d].probability for d in n} for q, n in ids.items()},
        vectors=vectors,
    )
    ours = weighted_sum(standardize_columns(matrix), weights)
    blend = Blend(
        Told(scores),
        weights,
        vectors=lambda documents: {
            d.key: vectors[d.key] for d in documents if d.key in vectors
        },
    )
    some = False
    for i, names in enumerate(ids.values()):
        candidates = [
            Candidate(Document("text", id=d), rank=j, bm25=made[d][1])
            for j, d in enumerate(names, 1)
        ]
        results = blend.rerank("q", candidates).results
        some = some or any("neighbors" in r.parts for r in results)
        expected = [result.score for result in sorted(results, key=lambda r: r.index)]
        assert ours[i, : len(names)] == pytest.approx(np.array(expected), abs=1e-9)
    assert (NEIGHBORS in matrix.columns) == some


def test_ties_stand_in_first_stage_order() -> None:
    pool = pool_of([[(1.0, 0, 0, 0), (2.0, 0, 0, 0), (1.0, 0, 0, 1)]])
    assert ranked_ids(pool, pool.columns["rerank"]) == {"q0": ["d1", "d0", "d2"]}


def test_a_question_without_candidates_or_relevant_documents_counts_as_zero() -> None:
    pool = pool_of([[], [(1.0, 0.5, 2.0, 0)], [(1.0, 0.5, 2.0, 1)]])
    assert ndcg(pool, pool.columns["rerank"]).tolist() == [0.0, 0.0, 1.0]
