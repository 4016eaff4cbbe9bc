from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.evaluate.rank_correlation import rank_biased_overlap


def test_rank_biased_overlap_of_equal_and_of_disjoint_lists() -> None:
    assert rank_biased_overlap(list("abcde"), list("abcde")) == pytest.approx(1.0)
    assert rank_biased_overlap(list("abc"), list("xyz")) == 0.0
    assert rank_biased_overlap([], []) == 1.0
    assert rank_biased_overlap(["a"], []) == 0.0


def test_rank_biased_overlap_by_hand() -> None:
    # Depth 1: nothing shared; depth 2: both. 0.1/0.9 * 0.81 * 1 + 0.81 * 1.
    assert rank_biased_overlap(["a", "b"], ["b", "a"]) == pytest.approx(0.09 + 0.81)


def test_a_difference_at_the_top_weighs_more() -> None:
    ids = list("abcdefghij")
    top, bottom = ["b", "a", *ids[2:]], [*ids[:8], "j", "i"]
    assert rank_biased_overlap(ids, top) < rank_biased_overlap(ids, bottom) < 1


@given(st.permutations(range(10)), st.permutations(range(10)))
def test_rank_biased_overlap_is_equation_32(one: list[int], other: list[int]) -> None:
    p, k = 0.9, 10
    overlap = [len({*one[:d]} & {*other[:d]}) for d in range(1, k + 1)]
    tail = overlap[-1] / k * p**k
    expected = tail + (1 - p) / p * sum(o / d * p**d for d, o in enumerate(overlap, 1))
    assert rank_biased_overlap(one, other) == pytest.approx(expected)
