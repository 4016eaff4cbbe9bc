from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.retrieve.fusion import METHODS, dbsf, fuse, rrf, weighted

SCORES = st.floats(-1e6, 1e6, allow_nan=False)
RANKING = st.dictionaries(st.sampled_from("abcdefghij"), SCORES, max_size=8).map(
    lambda d: list(d.items())
)
RANKINGS = st.lists(RANKING, max_size=4)
METHOD = st.sampled_from(sorted(METHODS))


@given(RANKINGS, METHOD)
def test_the_result_is_the_union_in_order(rankings, method):
    fused = fuse(rankings, method)
    assert {name for name, _ in fused} == {name for r in rankings for name, _ in r}
    assert len(fused) == len({name for name, _ in fused})
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))
    assert all(math.isfinite(score) for _, score in fused)


@given(RANKINGS, METHOD, st.randoms(use_true_random=False))
def test_neither_the_order_of_rankings_nor_within_them_matters(rankings, method, rng):
    weights = [rng.choice([0.5, 1.0, 2.0]) for _ in rankings]
    expected = fuse(rankings, method, weights)
    order = list(range(len(rankings)))
    rng.shuffle(order)
    shuffled = [rng.sample(rankings[i], len(rankings[i])) for i in order]
    assert fuse(shuffled, method, [weights[i] for i in order]) == expected


@given(st.lists(RANKING, min_size=1, max_size=4), METHOD)
def test_what_is_better_everywhere_is_never_behind(rankings, method):
    fused = dict(fuse(rankings, method))
    scores = [dict(r) for r in rankings]
    for a in fused:
        for b in fused:
            both = all(a in r and b in r for r in scores)
            if both and all(r[a] > r[b] for r in scores):
                assert fused[a] >= fused[b]


@given(RANKING, RANKING, METHOD)
def test_raising_a_score_never_lowers_its_rank_in_rrf(first, second, method):
    if not first:
        return
    name, score = first[-1]
    raised = [*first[:-1], (name, score + 10.0)]
    before = [n for n, _ in rrf([first, second])].index(name)
    assert [n for n, _ in rrf([raised, second])].index(name) <= before


@given(RANKING, METHOD)
def test_one_ranking_keeps_its_order(ranking, method):
    fused = [name for name, _ in fuse([ranking], method)]
    by_score = [n for n, _ in sorted(ranking, key=lambda item: (-item[1], item[0]))]
    scores = dict(ranking)
    assert [scores[n] for n in fused] == pytest.approx([scores[n] for n in by_score], abs=1e-3)


def test_ranks_are_counted_in_each_ranking():
    first = [("a", 9.0), ("b", 8.0)]
    second = [("b", 0.9), ("c", 0.8)]
    assert dict(rrf([first, second])) == pytest.approx(
        {"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62}
    )
    assert dict(rrf([first, second], k=0, weights=[1, 3]))["b"] == pytest.approx(3.5)


def test_weighted_min_max():
    fused = dict(
        weighted([[("a", 10.0), ("b", 5.0), ("c", 0.0)], [("c", 0.2)]], weights=[3, 1])
    )
    assert fused == pytest.approx({"a": 0.75, "b": 0.375, "c": 0.25})


def test_weighted_z_score():
    fused = dict(
        weighted([[("a", 3.0), ("b", 1.0)], [("a", 7.0), ("c", 7.0)]], normalize="z-score")
    )
    assert fused == pytest.approx({"a": 0.5, "b": -1.0, "c": -0.5})


def test_dbsf_is_qdrants_formula():
    scores = [3.0, 2.5, 1.0, 0.2]
    mean = sum(scores) / 4
    sigma = math.sqrt(sum((s - mean) ** 2 for s in scores) / 3)
    low = mean - 3 * sigma
    fused = dict(dbsf([[(str(s), s) for s in scores], [("3.0", 5.0)]]))
    assert fused["2.5"] == pytest.approx((2.5 - low) / (6 * sigma))
    assert fused["3.0"] == pytest.approx((3.0 - low) / (6 * sigma) + 0.5)


@pytest.mark.parametrize("score", [0.1, 0.0, 1e300, -7.3])
def test_equal_scores_stand_in_order_of_id(score):
    tied = [(n, score) for n in random.Random(0).sample("abcdefg", 7)]
    assert dict(dbsf([tied])) == dict.fromkeys("abcdefg", 0.5)
    assert dict(weighted([tied])) == dict.fromkeys("abcdefg", 1.0)
    assert dict(weighted([tied], normalize="z-score")) == dict.fromkeys("abcdefg", 0.0)
    for method in METHODS:
        assert [n for n, _ in fuse([tied], method)] == list("abcdefg")


def test_huge_scores_do_not_overflow():
    huge = [("a", 1.7e308), ("b", 0.0), ("c", -1.7e308)]
    for method in METHODS:
        assert [n for n, _ in fuse([huge, huge], method)] == ["a", "b", "c"]


def test_an_id_twice_counts_once_with_its_best_score():
    assert fuse([[("a", 1.0), ("b", 2.0), ("a", 3.0)]]) == fuse([[("a", 3.0), ("b", 2.0)]])


@pytest.mark.parametrize("method", sorted(METHODS))
def test_nothing_gives_nothing(method):
    assert fuse([], method) == fuse([[], []], method) == []
    assert [n for n, _ in fuse([[], [("a", 0.0)]], method)] == ["a"]


@pytest.mark.parametrize(
    "weights", [[-1, 2], [math.nan, 1], [math.inf, 1], [0, 0], [1], [1, 1, 1]]
)
def test_weights_that_cannot_be_used(weights):
    with pytest.raises(InputError, match="weights"):
        fuse([[("a", 1.0)], [("b", 1.0)]], "weighted", weights)


def test_other_input_that_cannot_be_used():
    with pytest.raises(InputError, match="Did you mean 'rrf'"):
        fuse([], "rfr")
    with pytest.raises(InputError, match="min-max"):
        weighted([], normalize="minmax")
    with pytest.raises(InputError, match="'a' has nan"):
        fuse([[("a", math.nan)]])
    with pytest.raises(InputError, match="k cannot"):
        rrf([], k=-1)
