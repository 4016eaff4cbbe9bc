from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secondpass.evaluate.significance import (
    bootstrap_interval,
    detectable_difference,
    estimate_effect,
    queries_needed,
)


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
