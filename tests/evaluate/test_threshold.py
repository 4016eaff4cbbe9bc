"""A threshold keeps what it says, and is the highest that does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError
from secondpass.evaluate.threshold import (
    check_keep,
    conformal_threshold,
    filter_results,
    round_down,
)
from secondpass.evaluate.tuning import Tuned, choose_settings
from secondpass.rerank.policies.cascade import min_queries
from tests.evaluate.experiment_data import make_experiment_data

chances = st.floats(0, 1)
# As people write them: in decimals.
shares = st.integers(1, 99).map(lambda percent: percent / 100)


@given(st.lists(chances, max_size=80), shares)
def test_what_chose_it_is_kept_and_no_higher_one_would_do(
    found: list[float], keep: float
) -> None:
    least = conformal_threshold(found, keep)
    if len(found) < min_queries(keep):
        assert least is None
        return
    assert least is not None
    wanted = math.ceil(round((len(found) + 1) * keep, 9))
    assert sum(c >= least for c in found) >= wanted >= keep * len(found)
    assert sum(c > least for c in found) < wanted


@given(st.lists(chances, min_size=1, max_size=60), shares, shares)
def test_to_keep_more_the_threshold_falls(found: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    strict, loose = conformal_threshold(found, high), conformal_threshold(found, low)
    if strict is not None:
        assert loose is not None
        assert strict <= loose


@given(st.lists(chances, min_size=25, max_size=60), st.integers(1, 40))
def test_what_was_not_scored_counts_as_lost(found: list[float], lost: int) -> None:
    least = conformal_threshold([*found, *[None] * lost], 0.9)
    wanted = math.ceil((len(found) + lost + 1) * 9 / 10)
    if wanted > len(found):
        assert least is None
    else:
        assert least == sorted(found, reverse=True)[wanted - 1]


@given(chances)
def test_a_rounded_threshold_is_never_higher(chance: float) -> None:
    rounded = round_down(chance)
    assert 0 <= rounded <= chance
    # Nearer to 0 than that, a float has fewer digits itself.
    if chance > 1e-300:
        assert rounded >= chance * 0.999
        assert float(f"{rounded:.3e}") == rounded


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | chances)), st.none() | chances)
def test_trimming_keeps_the_order(
    results: list[tuple[str, float | None]], least: float | None
) -> None:
    left = filter_results(results, least)
    if least is None:
        assert left == results
        return
    assert left == [r for r in results if r[1] is not None and r[1] >= least]


def test_a_share_that_cannot_be_kept() -> None:
    check_keep(0.95, 19)
    with pytest.raises(InputError, match=r"18 relevant documents are too few.*until 19"):
        check_keep(0.95, 18)
    for keep in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(InputError, match="between 0 and 1"):
            check_keep(keep, 1000)


@pytest.fixture(scope="module")
def wise() -> Tuned:
    return choose_settings(
        make_experiment_data(knows=1.0, probabilities=True), keep=0.9, top_k=5
    )


def test_tuning_chooses_a_threshold_and_tells_what_it_does(wise: Tuned) -> None:
    found = wise.threshold
    assert found is not None
    assert wise.settings["min_probability"] == found.least
    assert found.folds == 5
    assert found.kept is not None
    assert found.removed is not None
    assert found.relevant is not None
    assert found.relevant_before is not None
    assert 0.75 < found.kept <= 1
    assert found.removed > 0.3
    assert found.relevant > found.relevant_before
    assert found.shown < found.shown_before <= 5
    assert 0 <= found.hidden <= found.silent < wise.queries
    assert found.value <= wise.promised + 1e-9


def test_a_model_that_knows_nothing_removes_little_more_than_asked() -> None:
    found = choose_settings(make_experiment_data(knows=0.0, probabilities=True), keep=0.9)
    if found.threshold is None:
        assert found.no_threshold is not None
        assert "no second pass" in found.no_threshold
        return
    assert found.threshold.removed is not None
    assert found.threshold.removed < 0.3


def test_without_probabilities_there_is_a_reason() -> None:
    found = choose_settings(make_experiment_data(knows=1.0), keep=0.9)
    assert found.threshold is None
    assert found.no_threshold is not None
    assert "gives no probabilities" in found.no_threshold
    assert "min_probability" not in found.settings
    with pytest.raises(InputError, match=r"too few to keep 0\.999"):
        choose_settings(make_experiment_data(knows=1.0, probabilities=True), keep=0.999)
