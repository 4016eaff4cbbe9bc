from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, ScoreKind
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.measures import ranked_values
from secondpass.evaluate.score_matrix import ndcg, ranked_ids
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


def test_ties_stand_in_first_stage_order() -> None:
    pool = pool_of([[(1.0, 0, 0, 0), (2.0, 0, 0, 0), (1.0, 0, 0, 1)]])
    assert ranked_ids(pool, pool.columns["rerank"]) == {"q0": ["d1", "d0", "d2"]}


def test_a_question_without_candidates_or_relevant_documents_counts_as_zero() -> None:
    pool = pool_of([[], [(1.0, 0.5, 2.0, 0)], [(1.0, 0.5, 2.0, 1)]])
    assert ndcg(pool, pool.columns["rerank"]).tolist() == [0.0, 0.0, 1.0]
