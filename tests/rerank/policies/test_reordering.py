"""Ensemble, boost, recency, pins and diversity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import (
    BaseReranker,
    Candidate,
    Document,
    InputError,
    ModelError,
    Origin,
    RerankResponse,
    ScoreKind,
    Status,
)
from secondpass.composition import Composer
from secondpass.rerank.policies.boost import Boost
from secondpass.rerank.policies.ensemble import METHODS, Ensemble
from secondpass.rerank.policies.mmr import MMR, mmr_order
from secondpass.rerank.policies.pinned import Pinned
from secondpass.rerank.policies.recency import Recency
from secondpass.rerank.score import Score, Scored
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


blended = st.lists(
    st.tuples(st.floats(-9, 9), st.floats(-1, 1), st.floats(0, 30), st.integers(0, 99)),
    min_size=1,
    max_size=10,
)


def stack(rows: Sequence[tuple[float, float, float, int]], **options: Any) -> RerankResponse:
    """Rerank candidates with these scores, cosines, BM25 and numbers under policies."""
    some = [
        Candidate(
            Document(f"text {i}", id=str(i), metadata={"n": n}), rank=i + 1, bm25=b, vector=v
        )
        for i, (_, v, b, n) in enumerate(rows)
    ]
    reranker = Given([value for value, *_ in rows])
    return Composer().compose(reranker, {"blend": True, **options}).rerank("q", some)


@given(blended, st.floats(-3, 3), st.integers(0, 9))
def test_parts_add_up_through_blend_boosts_diversity_and_pins(
    rows: list[tuple[float, float, float, int]], weight: float, pin: int
) -> None:
    rules = [f"log(n): {weight}", "equals(n, value=5): 0.25"]
    response = stack(rows, boost=rules, diversity=0.4, pin=[str(pin)])
    assert sorted(r.index for r in response.results) == list(range(len(rows)))
    for result in response.results:
        if result.parts:
            assert result.score == pytest.approx(sum(result.parts.values()), abs=1e-6)
    if pin < len(rows):
        assert response.results[0].index == pin


@given(blended, st.floats(0, 2), st.floats(0, 2))
def test_a_larger_boost_never_lowers_what_it_boosts(
    rows: list[tuple[float, float, float, int]], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    before = stack(rows, boost=[f"equals(n, value=5): {low!r}"])
    after = stack(rows, boost=[f"equals(n, value=5): {high!r}"])
    ranks = {r.index: r.rank for r in before.results}
    for result in after.results:
        if rows[result.index][3] == 5:
            assert result.rank <= ranks[result.index]


@given(blended)
def test_more_of_a_field_is_never_less_of_a_boost(
    rows: list[tuple[float, float, float, int]],
) -> None:
    results = stack(rows, boost=["log(n): 1", "linear(n): 2"]).results
    added = sorted(
        (rows[r.index][3], r.parts.get("log(n)", 0.0) + r.parts.get("linear(n)", 0.0))
        for r in results
    )
    assert [value for _, value in added] == sorted(value for _, value in added)
    assert all(-1e-9 <= value <= 3 + 1e-9 for _, value in added)


def test_a_weight_is_in_standard_deviations_of_the_blended_score() -> None:
    rows = [(1.0, 0.9, 3.0, 0), (2.0, 0.1, 9.0, 5), (4.0, 0.5, 1.0, 0)]
    plain = {r.index: r for r in stack(rows).results}
    boosted = {r.index: r for r in stack(rows, boost=["equals(n, value=5): +0.3"]).results}
    deviation = float(np.std([r.score for r in plain.values()]))
    for index, result in boosted.items():
        for name, value in plain[index].parts.items():
            assert result.parts[name] == pytest.approx(value / deviation)
        assert result.parts["equals(n, value=5)"] == (0.3 if index == 1 else 0.0)
    assert np.std([sum(list(r.parts.values())[:3]) for r in boosted.values()]) == pytest.approx(
        1.0
    )


def test_boosts_of_a_fallback_and_what_they_could_not_use() -> None:
    class Broken(Given):
        def score(self, *arguments: Any) -> Scored:
            raise ModelError("it is down")

    some = documents(3, m=[1, "many", 9])
    options = {"boost": ["linear(m): 9"], "on_failure": "fallback", "diversity": 0.5}
    response = Composer().compose(Broken([]), options).rerank("q", some)
    assert response.status is Status.FALLBACK
    assert response.results[0].index == 2
    assert "could not use the value of 1 of 3 candidates" in (response.reason or "")
    assert some == documents(3, m=[1, "many", 9])
    with pytest.raises(InputError, match="only the search of an index has filters"):
        Boost(Given([1.0]), ["n > 3: 1"])
    with pytest.raises(InputError, match="must be a list"):
        Boost(Given([1.0]), "log(n): 1")


def test_a_pinned_document_is_its_best_passage() -> None:
    passages = [
        Document("t", id=f"a#{n}", origin=Origin("a", n, 0, 1), metadata={}) for n in (1, 2)
    ]
    some = [Document("t", id="b"), *passages]
    response = Pinned(Given([3.0, 1.0, 2.0]), first=["a"]).rerank("q", some)
    assert [r.id for r in response.results] == ["a#2", "b", "a#1"]
    assert response.results[0].parts["pinned"] > 0
    exact = Pinned(Given([3.0, 1.0, 2.0]), first=["a#1"]).rerank("q", some)
    assert [r.id for r in exact.results] == ["a#1", "b", "a#2"]


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
