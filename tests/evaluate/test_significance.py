from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secondpass.evaluate.significance import (
    bootstrap_interval,
    detectable_difference,
    estimate_effect,
    holm_correction,
    queries_needed,
    randomization_test,
    win_tie_loss,
)

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


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=30))
def test_the_t_test_is_that_of_scipy(values: list[float]) -> None:
    differences = np.array(values)
    if np.ptp(differences):
        expected = stats.ttest_rel(differences, np.zeros_like(differences)).pvalue
        assert estimate_effect(differences).t == pytest.approx(expected)


def test_the_interval_is_about_that_of_the_t_distribution() -> None:
    differences = np.random.default_rng(1).normal(0.05, 0.2, 200)
    low, high = bootstrap_interval(differences)
    expected = stats.t.interval(0.95, 199, loc=differences.mean(), scale=stats.sem(differences))
    assert (low, high) == pytest.approx(expected, abs=0.004)
    assert bootstrap_interval(differences) == (low, high)


def test_the_detectable_effect_is_found_four_times_of_five() -> None:
    n, deviation = 80, 0.2
    true = detectable_difference(deviation, n)
    assert true is not None
    chooser = np.random.default_rng(2)
    draws = chooser.normal(true, deviation, (2000, n))
    seen = (stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05).mean()
    assert seen == pytest.approx(0.8, abs=0.03)
    needed = queries_needed(true, deviation)
    assert needed == pytest.approx(n, abs=3)


def test_differences_that_do_not_vary() -> None:
    flat = estimate_effect(np.zeros(5))
    assert (flat.mean, flat.low, flat.high, flat.size, flat.t) == (0.0, 0.0, 0.0, None, 1.0)
    assert flat.p == 1.0
    assert estimate_effect(np.full(5, 0.5)).t == 0.0
    assert estimate_effect(np.zeros(0)).p == 1.0
