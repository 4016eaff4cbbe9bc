"""Exits: what is kept, where the rest stands, and that a margin keeps what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from secondpass.rerank.early_exit import EarlyExit, can_reach_top, lower_below
from secondpass.train.precomputed.early_exit import fit_line, fit_margin, required_margin

SCORES = st.lists(st.floats(-50, 50), min_size=1, max_size=40)
SAID = {"scale": 0.5, "shift": -8, "margin": 1.5, "confidence": 0.95, "lists": 120}


@given(SCORES, st.integers(1, 50), st.floats(0, 10))
def test_the_best_early_scores_always_stay(
    early: list[float], top_k: int, margin: float
) -> None:
    stays = can_reach_top(early, top_k, margin)
    kept = [score for score, stay in zip(early, stays, strict=True) if stay]
    left = [score for score, stay in zip(early, stays, strict=True) if not stay]
    assert len(kept) >= min(top_k, len(early))
    assert not left or max(left) < min(kept)
    # A wider margin keeps at least as much, and a lower k at most.
    assert sum(can_reach_top(early, top_k, margin + 1)) >= len(kept)
    assert sum(can_reach_top(early, 1, margin)) <= len(kept)


@given(st.floats(-50, 50), SCORES)
def test_what_was_left_out_stands_below_in_the_order_of_its_scores(
    lowest: float, early: list[float]
) -> None:
    placed = lower_below(lowest, early)
    assert max(placed) <= lowest
    order = np.argsort(early, kind="stable")
    assert all(np.diff(np.array(placed)[order]) >= 0)
    if max(early) <= lowest:
        assert placed == early


def test_nothing_left_out_is_nothing() -> None:
    assert lower_below(1.0, []) == []


ARRAYS = hnp.arrays(np.float64, st.integers(2, 40), elements=st.floats(-20, 20))


@given(ARRAYS, st.randoms(use_true_random=False), st.integers(1, 20))
def test_the_margin_a_list_needs_keeps_its_top(final: np.ndarray, random, depth: int) -> None:
    early = final + np.array([random.uniform(-3, 3) for _ in final])
    margin = required_margin(early, final, (depth,))
    if depth < len(final):
        # The sum may round the other way than the difference did.
        stays = np.array(can_reach_top(early.tolist(), depth, margin + 1e-9))
        assert stays[final >= np.sort(final)[-depth]].all()


def test_a_fitted_margin_keeps_its_confidence_on_new_lists() -> None:
    random = np.random.default_rng(0)

    def lists(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        finals = [random.normal(size=60) * 3 for _ in range(count)]
        return [(final + random.normal(size=60), final) for final in finals]

    margin = fit_margin(lists(400), confidence=0.9)
    assert margin is not None
    kept = [required_margin(early, final) <= margin for early, final in lists(400)]
    assert 0.84 < float(np.mean(kept)) < 0.96


def test_too_few_lists_give_no_margin() -> None:
    one = (np.arange(30.0), np.arange(30.0))
    assert fit_margin([one] * 18, confidence=0.95) is None
    assert fit_margin([one] * 19, confidence=0.95) == 0.0
    assert fit_margin([]) is None


def test_a_line_is_found() -> None:
    early = np.linspace(-4, 4, 9)
    assert fit_line(early, 0.5 * early - 3) == pytest.approx((0.5, -3.0))


@pytest.mark.parametrize(
    "wrong",
    [{"margin": -1.0}, {"scale": 0.0}, {"scale": float("nan")}, {"shift": "x"}],
)
def test_an_exit_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    assert EarlyExit.from_object(SAID).margin == 1.5
    with pytest.raises(ValueError):  # noqa: PT011
        EarlyExit.from_object({**SAID, **wrong})
