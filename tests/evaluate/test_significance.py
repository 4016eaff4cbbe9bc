from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.evaluate.rank_correlation import rank_biased_overlap
from secondpass.evaluate.significance import holm_correction, randomization_test, win_tie_loss

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def enumerated(differences: np.ndarray) -> float:
    signs = np.array(list(product((-1.0, 1.0), repeat=len(differences))))
    return float((abs(signs @ differences) >= abs(differences.sum()) - 1e-9).mean())


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("n", [1, 5, 11])
def test_sampled_signs_agree_with_all_signs(n: int, shift: float) -> None:
    differences = np.random.default_rng(n).normal(shift, 0.3, n)
    exact = enumerated(differences)
    # Four standard errors of 20,000 rounds.
    error = 4 * (exact * (1 - exact) / 20_000) ** 0.5 + 1e-4
    assert randomization_test(differences) == pytest.approx(exact, abs=error)


def test_no_difference_is_no_evidence_and_p_is_never_zero() -> None:
    assert randomization_test(np.zeros(50)) == 1.0
    assert randomization_test(np.zeros(0)) == 1.0
    assert 0 < randomization_test(np.ones(500)) < 1e-4


def test_holm_on_an_example_by_hand() -> None:
    assert holm_correction([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(probabilities)
def test_holm_lies_between_no_correction_and_bonferroni(ps: list[float]) -> None:
    for p, corrected in zip(ps, holm_correction(ps), strict=True):
        assert p <= corrected <= min(1.0, len(ps) * p) + 1e-12
    in_order = [corrected for _, corrected in sorted(zip(ps, holm_correction(ps), strict=True))]
    assert in_order == sorted(in_order)


def test_wins_ties_and_losses_add_up() -> None:
    assert win_tie_loss(np.array([0.1, 0.0, -0.2, 1e-12, 0.3])) == (2, 2, 1)


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
