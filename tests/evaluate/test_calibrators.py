from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.evaluate.calibrators import fit_platt
from secondpass.evaluate.reliability import expected_calibration_error


@settings(max_examples=20)
@given(scale=st.floats(0.1, 5), shift=st.floats(-3, 3), stretch=st.floats(0.01, 100))
def test_known_log_odds_are_found(scale: float, shift: float, stretch: float) -> None:
    chance = np.random.default_rng(0)
    scores = chance.normal(0, 2, 20_000)
    relevant = chance.random(20_000) < 1 / (1 + np.exp(-(scale * scores + shift)))
    found = fit_platt(scores * stretch, relevant)
    assert found is not None
    assert found.scale * stretch == pytest.approx(scale, rel=0.15, abs=0.05)
    assert found.shift == pytest.approx(shift, abs=0.25)
    probabilities = 1 / (1 + np.exp(-(found.scale * stretch * scores + found.shift)))
    assert expected_calibration_error(probabilities, relevant) < 0.02


@pytest.mark.parametrize(
    ("scores", "relevant"),
    [
        ([1.0, 2.0], [True, True]),
        ([1.0, 2.0], [False, False]),
        ([1.0, 1.0], [True, False]),
        ([2.0, 3.0, 0.0, 1.0], [False, False, True, True]),
    ],
)
def test_what_cannot_be_calibrated(scores: list[float], relevant: list[bool]) -> None:
    assert fit_platt(np.array(scores), np.array(relevant)) is None


def test_scores_that_part_perfectly_stay_finite() -> None:
    found = fit_platt(np.arange(100.0), np.arange(100) >= 50)
    assert found is not None
    assert np.isfinite(found).all()


def test_calibration_error_of_the_certain_and_wrong() -> None:
    assert expected_calibration_error(np.ones(4), np.zeros(4, bool)) == pytest.approx(1)
    assert expected_calibration_error(np.ones(4), np.ones(4, bool)) == pytest.approx(0)
