from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, InputError, ScoreKind, Status
from secondpass.policies import Blend
from secondpass.rerank.policies.blend import (
    MANY_RELEVANT,
    neighbor_part,
    neighbor_scores,
    standardize,
)
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions

numbers = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=30).filter(
    lambda values: any(v is not None for v in values)
)


class Lengths(BaseReranker):
    """Scores a document by its length: a real reranker, if a simple one."""

    @property
    def model(self) -> str:
        return "lengths"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        lengths = [float(len(c.document.text)) for c in candidates]
        return Scored([Score(n, probability=0.5) for n in lengths], ScoreKind.SIMILARITY)


def order(blend: BaseReranker, candidates: list[Candidate]) -> list[int]:
    return [r.index for r in blend.rerank("q", candidates).results]


@given(numbers)
def test_standardised_scores_keep_the_order(values: list[float | None]) -> None:
    result = standardize(values).tolist()
    assert all(math.isfinite(v) for v in result)
    assert abs(sum(result)) < 1e-6 * len(result)
    lowest = min(v for v in values if v is not None)
    filled = [lowest if v is None else v for v in values]
    for a, x in zip(filled, result, strict=True):
        for b, y in zip(filled, result, strict=True):
            assert a < b or x >= y - 1e-9


def test_the_first_stage_can_outweigh_the_reranker() -> None:
    candidates = [
        Candidate(Document("x"), vector=0.9, bm25=9.0),
        Candidate(Document("xx"), vector=0.1, bm25=1.0),
        Candidate(Document("xxx"), vector=0.2),
    ]
    assert order(Lengths(), candidates) == [2, 1, 0]
    assert order(Blend(Lengths(), {"rerank": 1, "vector": 5, "bm25": 5}), candidates)[0] == 0
    assert order(Blend(Lengths(), {"rerank": 1.0}), candidates) == [2, 1, 0]
    assert order(Blend(Lengths(), {"vector": 1.0, "rerank": 0.0}), candidates) == [0, 2, 1]


def test_parts_add_up_and_probabilities_stay() -> None:
    candidates = [Candidate(Document("x" * n), vector=n / 10, bm25=0.0) for n in (1, 2, 4)]
    response = Blend(Lengths()).rerank("q", candidates)
    for result in response.results:
        assert result.score == pytest.approx(sum(result.parts.values()))
        assert set(result.parts) == {"rerank", "vector", "bm25"}
        assert result.probability == 0.5
        assert result.score_kind is ScoreKind.RANK


class Half(Lengths):
    """Leaves every other candidate out, as a policy does."""

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        whole = super().score(query, candidates, options).scores
        left_out = Score(min(s.value for s in whole), windows=0, scored=False)
        scores = [s if i % 2 == 0 else left_out for i, s in enumerate(whole)]
        return Scored(
            scores, ScoreKind.SIMILARITY, status=Status.PARTIALLY_RERANKED, reason="half"
        )


def test_what_was_left_out_counts_as_the_lowest_and_stays_marked() -> None:
    candidates = [
        Candidate(Document("x" * n), vector=v) for n, v in ((5, 0.1), (9, 0.9), (2, 0.2))
    ]
    response = Blend(Half(), {"rerank": 1.0, "vector": 1.0}).rerank("q", candidates)
    assert (response.status, response.reason) == (Status.PARTIALLY_RERANKED, "half")
    by_index = {r.index: r for r in response.results}
    assert [by_index[i].scored for i in range(3)] == [True, False, True]
    assert by_index[1].parts["rerank"] == by_index[2].parts["rerank"]
    assert by_index[1].probability is None
    # Its cosine is the best by far, and still counts.
    assert response.results[0].index == 1


def test_without_first_stage_scores_nothing_changes() -> None:
    response = Blend(Lengths()).rerank("q", ["x", "xxx"])
    assert [r.score for r in response.results] == [3.0, 1.0]
    assert response.results[0].score_kind is ScoreKind.SIMILARITY


@pytest.mark.parametrize(
    "weights", [{}, {"rerank": 0}, {"rerank": -1}, {"vektor": 1}, {"bm25": math.nan}]
)
def test_weights_that_cannot_be_used(weights: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Blend(Lengths(), weights)


probabilities = st.none() | st.floats(0, 1)
vectors = st.none() | st.lists(st.integers(-3, 3), min_size=3, max_size=3)
judged = st.lists(st.tuples(vectors, probabilities), min_size=1, max_size=12).filter(
    lambda rows: any(vector is not None for vector, _ in rows)
)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else 0.0


@given(judged)
def test_neighbor_scores_are_weighted_means_of_cosines_to_the_others(
    rows: list[tuple[list[int] | None, float | None]],
) -> None:
    given_vectors = [None if v is None else np.array(v, np.float32) for v, _ in rows]
    scores = neighbor_scores(given_vectors, [p for _, p in rows])
    for i, (score, own) in enumerate(zip(scores, given_vectors, strict=True)):
        if own is None:
            assert score is None
            continue
        others = [
            (p or 0.0, cosine(own, other))
            for j, (other, (_, p)) in enumerate(zip(given_vectors, rows, strict=True))
            if j != i and other is not None
        ]
        total = sum(p for p, _ in others)
        # At the limit itself the rounding of a sum decides.
        assume(abs(total - 1e-6) > 1e-12)
        expected = sum(p * c for p, c in others) / total if total > 1e-6 else 0.0
        assert score == pytest.approx(expected, abs=1e-6)


NEAR = {
    "answer": np.array([1.0, 0.0], np.float32),
    "like it": np.array([0.9, 0.1], np.float32),
    "apart": np.array([0.0, 1.0], np.float32),
}


class Sure(Lengths):
    """Scores one text as relevant, and all others alike."""

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        found = [c.document.text == "answer" for c in candidates]
        return Scored([Score(2.0 * f, 0.9 if f else 0.1) for f in found], ScoreKind.LOGIT)


def lookup(documents: Sequence[Document]) -> dict[str, np.ndarray]:
    return {d.key: NEAR[d.text] for d in documents if d.text in NEAR}


def test_what_is_like_the_likely_answers_comes_before_what_is_not() -> None:
    texts = [Document(text, str(i)) for i, text in enumerate(("apart", "like it", "answer"))]
    weights = {"rerank": 1.0, "neighbors": 1.0}
    plain = Blend(Sure(), weights).rerank("q", texts)
    assert [r.document.text for r in plain.results] == ["answer", "apart", "like it"]
    assert plain.reason is not None
    assert "no vectors of the candidates" in plain.reason
    near = Blend(Sure(), weights, vectors=lookup).rerank("q", texts)
    assert [r.document.text for r in near.results] == ["answer", "like it", "apart"]
    assert near.reason is None
    for result in near.results:
        assert result.score == pytest.approx(sum(result.parts.values()))
        assert set(result.parts) == {"rerank", "neighbors"}
    # The more candidates seem relevant, the more it counts: here 0.9 + 0.1 + 0.1 do.
    added = [result.parts["neighbors"] for result in near.results]
    assert np.std(added) == pytest.approx(1.1 / (1.1 + MANY_RELEVANT))


def test_equal_neighbors_add_nothing() -> None:
    # Two candidates have the same cosine to each other, but for its last digits.
    chooser = np.random.default_rng(0)
    for _ in range(50):
        pair = list(chooser.standard_normal((2, 8)).astype(np.float32))
        assert neighbor_part(pair, [0.999, 1e-5]).tolist() == [0.0, 0.0]


def test_neighbors_need_probabilities() -> None:
    class Unsure(Lengths):
        def score(
            self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
        ) -> Scored:
            scores = [Score(float(len(c.document.text))) for c in candidates]
            return Scored(scores, ScoreKind.SIMILARITY)

    texts = [Document(text, text) for text in NEAR]
    blend = Blend(Unsure(), {"rerank": 1.0, "neighbors": 1.0}, vectors=lookup)
    response = blend.rerank("q", texts)
    assert response.reason is not None
    assert "gives no probabilities" in response.reason
    assert response.results[0].score_kind is ScoreKind.SIMILARITY
