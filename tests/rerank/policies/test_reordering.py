"""Ensemble, boost, recency, pins and diversity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, InputError, ScoreKind
from secondpass.rerank.base import Score, Scored
from secondpass.rerank.policies.boost import Boost
from secondpass.rerank.policies.ensemble import METHODS, Ensemble
from secondpass.rerank.policies.mmr import MMR, mmr_order
from secondpass.rerank.policies.pinned import Pinned
from secondpass.rerank.policies.recency import Recency
from secondpass.rerank.scoring_options import ScoringOptions

scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Given(BaseReranker):
    """Gives the scores it was told, None for what it leaves out."""

    def __init__(self, values: Sequence[float | None], name: str = "given") -> None:
        self.values, self.name = values, name

    @property
    def model(self) -> str:
        return self.name

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        low = min((v for v in self.values if v is not None), default=0.0)
        some = [Score(low if v is None else v, scored=v is not None) for v in self.values]
        return Scored(some, ScoreKind.LOGIT, pairs=len(some))


def documents(n: int, **field: Sequence[object]) -> list[Document]:
    return [
        Document(f"text {i}", id=str(i), metadata={k: v[i] for k, v in field.items()})
        for i in range(n)
    ]


def order(reranker: BaseReranker, some: Sequence[Document]) -> list[int]:
    return [r.index for r in reranker.rerank("q", some).results]


@given(scores, st.sampled_from(sorted(METHODS)))
def test_an_ensemble_of_one_keeps_the_order(values: list[float], method: str) -> None:
    some = documents(len(values))
    alone = list(Given(values).rerank("q", some).results)
    found = Ensemble([Given(values)], method=method).rerank("q", some).results
    by_index = {r.index: r.score for r in found}
    for a, b in pairwise(alone):
        assert by_index[a.index] >= by_index[b.index] - 1e-9
        if a.score == b.score:
            assert by_index[a.index] == by_index[b.index]


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=12))
def test_an_ensemble_does_not_depend_on_the_order_of_its_members(
    pairs: list[tuple[float, float]],
) -> None:
    one, other = Given([a for a, _ in pairs]), Given([b for _, b in pairs])
    some = documents(len(pairs))
    for method in METHODS:
        there = Ensemble([one, other], method=method, weights=[1, 2]).rerank("q", some)
        back = Ensemble([other, one], method=method, weights=[2, 1]).rerank("q", some)
        assert [r.index for r in there.results] == [r.index for r in back.results]
        for result in there.results:
            assert result.score == pytest.approx(sum(result.parts.values()))
            assert result.probability is None


def test_reciprocal_ranks_by_hand() -> None:
    members = [Given([9.0, 5.0, 5.0], "a"), Given([1.0, 2.0, 3.0], "b")]
    response = Ensemble(members).rerank("q", documents(3))
    assert response.model == "a + b"
    expected = [1 / 61 + 1 / 63, 1 / 62 + 1 / 62, 1 / 62 + 1 / 61]
    found = {r.index: r.score for r in response.results}
    assert [found[i] for i in range(3)] == pytest.approx(expected)


def test_what_a_member_left_out_counts_as_its_lowest() -> None:
    response = Ensemble([Given([1.0, None, 0.0]), Given([None, None, 3.0])]).rerank(
        "q", documents(3)
    )
    assert {r.index: r.scored for r in response.results} == {0: True, 1: False, 2: True}


@pytest.mark.parametrize("weights", [[1.0], [1, -1], [0, 0], [math.nan, 1]])
def test_ensembles_that_make_no_sense(weights: list[float]) -> None:
    with pytest.raises(InputError):
        Ensemble([Given([1.0]), Given([1.0])], weights=weights)
    with pytest.raises(InputError):
        Ensemble([])
    with pytest.raises(InputError, match="Did you mean 'rrf'"):
        Ensemble([Given([1.0])], method="rff")


def test_boosts() -> None:
    some = documents(3, kind=["guide", "log", ["guide", "new"]], year=[2024, 2024, 2025])
    values = [0.0, 1.0, 2.0]
    assert order(Boost(Given(values), "kind", {"guide": 9.0}), some) == [2, 0, 1]
    assert order(Boost(Given(values), "year", {"2025": -9.0}), some) == [1, 0, 2]
    plain = Boost(Given(values), "kind", {"other": 9.0}).rerank("q", some)
    assert plain.results[0].score_kind is ScoreKind.LOGIT
    boosted = Boost(Given(values), "kind", {"new": 0.5}).rerank("q", some).results[0]
    assert boosted.parts["boost"] == 0.5
    assert boosted.score == pytest.approx(sum(boosted.parts.values()))
    with pytest.raises(InputError):
        Boost(Given(values), "kind", {"guide": math.inf})


def test_recency_halves() -> None:
    days = [date(2026, 1, 1), "2025-01-01", datetime(2024, 1, 2), "soon", date(2030, 1, 1)]
    some = documents(5, day=days)
    reranker = Recency(Given([0.0] * 5), "day", weight=1.0, now=NOW)
    found = {r.index: r.parts["recency"] for r in reranker.rerank("q", some).results}
    assert [found[i] for i in range(5)] == pytest.approx([1, 0.5, 0.25, 0, 1], abs=1e-3)
    assert order(reranker, some) == [0, 4, 1, 2, 3]
    none = Recency(Given([0.0] * 5), "other", now=NOW).rerank("q", some)
    assert none.results[0].score_kind is ScoreKind.LOGIT
    for wrong in ({"half_life": timedelta(0)}, {"weight": -1.0}, {"weight": math.nan}):
        with pytest.raises(InputError):
            Recency(Given([0.0]), "day", **wrong)  # type: ignore[arg-type]


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=12),
    st.lists(st.integers(0, 14), unique=True, max_size=4),
)
def test_pins_hold_whatever_the_scores(values: list[float], pins: list[int]) -> None:
    first, last = [str(p) for p in pins[:2]], [str(p) for p in pins[2:]]
    some = documents(len(values))
    names = [str(i) for i in order(Pinned(Given(values), first=first, last=last), some)]
    there = [p for p in first if p in names]
    buried = [p for p in last if p in names]
    assert names[: len(there)] == there
    assert names[len(names) - len(buried) :] == buried
    rest = [n for n in names if n not in first + last]
    alone = [str(i) for i in order(Given(values), some)]
    assert rest == [n for n in alone if n not in first + last]


def test_pins_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="first and last"):
        Pinned(Given([1.0]), first=["a"], last=["a"])
    with pytest.raises(InputError, match="must be a list"):
        Pinned(Given([1.0]), first="a")


@given(st.integers(1, 12), st.floats(0, 1), st.randoms(use_true_random=False))
def test_choosing_gives_each_place_once_and_the_best_first(
    n: int, diversity: float, random: object
) -> None:
    generator = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    vectors = generator.normal(size=(n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = np.sort(generator.random(n))[::-1].copy()
    chosen = mmr_order(relevance, vectors, diversity)
    assert sorted(chosen) == list(range(n))
    if diversity < 1:
        assert chosen[0] == 0
    assert mmr_order(relevance, vectors, 0.0) == list(range(n))


def test_a_copy_is_not_shown_twice_on_top() -> None:
    texts = ["Cats sleep most of the day.", "Cats sleep most of the day!", "Bread needs flour."]
    reranker = MMR(Given([2.0, 1.9, 1.0]), diversity=0.7)
    assert [r.index for r in reranker.rerank("q", texts).results] == [0, 2, 1]
    assert order(MMR(Given([2.0, 1.9, 1.0]), diversity=0.0), documents(3)) == [0, 1, 2]
    left_out = MMR(Given([2.0, None, 1.0])).rerank("q", texts)
    assert [r.scored for r in left_out.results] == [True, True, False]
    for wrong in (-0.1, 1.1, math.nan, True):
        with pytest.raises(InputError):
            MMR(Given([1.0]), diversity=wrong)
