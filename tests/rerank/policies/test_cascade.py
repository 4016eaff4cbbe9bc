from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError, Reranker, Status
from secondpass.policies import Cascade
from secondpass.rerank.policies.cascade import Margin, bundled_margin, fit_margin, survivors
from tests.rerank.simple import Numbers, numbered

QUERY = st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=12)


def top(full: list[float], k: int) -> set[int]:
    return set(sorted(range(len(full)), key=lambda i: -full[i])[:k])


def loses(cheap: list[float], full: list[float], margin: Margin) -> bool:
    return not top(full, margin.k) <= set(survivors(cheap, margin))


@given(st.lists(QUERY, min_size=9, max_size=40), st.integers(1, 4), st.floats(0.05, 0.9))
def test_a_fit_loses_at_most_the_stated_share_and_wastes_nothing(
    queries: list[list[tuple[float, float]]], k: int, confidence: float
) -> None:
    cheap = [[c for c, _ in q] for q in queries]
    full = [[f for _, f in q] for q in queries]
    margin = fit_margin(cheap, full, k=k, confidence=confidence)
    assert (margin.k, margin.confidence, margin.queries) == (k, confidence, len(queries))
    lost = [loses(c, f, margin) for c, f in zip(cheap, full, strict=True)]
    # One query of grace: that is what the finite sample costs.
    assert sum(not one for one in lost) >= confidence * (len(queries) + 1) - 1e-9
    smaller = Margin(math.nextafter(margin.value, -math.inf), k) if margin.value > 0 else None
    if smaller is not None:
        kept = sum(not loses(c, f, smaller) for c, f in zip(cheap, full, strict=True))
        assert kept < confidence * (len(queries) + 1) + 1e-9


def share_lost(cheap: list[float], full: list[float], margin: Margin) -> float:
    wanted = top(full, margin.k)
    return len(wanted - set(survivors(cheap, margin))) / len(wanted)


@given(st.lists(QUERY, min_size=9, max_size=40), st.integers(1, 4), st.floats(0.1, 0.9))
def test_a_fit_by_loss_loses_at_most_that_and_wastes_nothing(
    queries: list[list[tuple[float, float]]], k: int, lost: float
) -> None:
    cheap = [[c for c, _ in q] for q in queries]
    full = [[f for _, f in q] for q in queries]
    margin = fit_margin(cheap, full, k=k, lost=lost)
    assert (margin.k, margin.confidence, margin.lost) == (k, None, lost)
    room = lost * (len(queries) + 1) - 1
    both = list(zip(cheap, full, strict=True))
    assert sum(share_lost(c, f, margin) for c, f in both) <= room + 1e-9
    if margin.value > 0:
        smaller = Margin(math.nextafter(margin.value, -math.inf), k)
        assert sum(share_lost(c, f, smaller) for c, f in both) > room - 1e-9


def of_fresh(
    measure: Callable[[list[float], list[float], Margin], float], noise: float, **promise: float
) -> float:
    """Return the mean over 2,000 queries like those of 200 fits; ten share a fit."""
    numbers = random.Random(7)

    def query() -> tuple[list[float], list[float]]:
        full = [numbers.gauss(0, 3) for _ in range(30)]
        return [f + numbers.gauss(0, noise) for f in full], full

    found = 0.0
    for _ in range(200):
        cheap, full = zip(*(query() for _ in range(60)), strict=True)
        margin = fit_margin(cheap, full, k=5, **promise)
        found += sum(measure(*query(), margin) for _ in range(10))
    return found / 2000


def test_fresh_queries_lose_no_more_than_was_stated() -> None:
    assert 0.06 < of_fresh(share_lost, 2, lost=0.1) < 0.11


def test_fresh_queries_keep_their_top_as_often_as_was_stated() -> None:
    # Well within four deviations.
    assert of_fresh(loses, 1, confidence=0.9) < 0.12


@pytest.mark.parametrize(
    ("confidence", "enough"), [(0.95, 19), (0.9, 9), (0.5, 1), (0.99, 99), (0.8, 4)]
)
def test_too_few_queries_are_refused_and_the_number_is_said(
    confidence: float, enough: int
) -> None:
    cheap = [[1.0, 2.0]] * enough
    assert fit_margin(cheap, cheap, k=1, confidence=confidence).queries == enough
    with pytest.raises(InputError, match=f"at least {enough}"):
        fit_margin(cheap[1:], cheap[1:], k=1, confidence=confidence)


@pytest.mark.parametrize(
    ("cheap", "full", "options", "message"),
    [
        ([[1.0]], [], {}, "1 lists"),
        ([[1.0, 2.0]], [[1.0]], {"confidence": 0.5}, "Query 0 has 2"),
        ([[]], [[]], {"confidence": 0.5}, "at least one"),
        ([[math.nan]], [[1.0]], {"confidence": 0.5}, "not finite"),
        ([[1.0]], [[1.0]], {"confidence": 1.0}, "between 0 and 1"),
        ([[1.0]], [[1.0]], {"confidence": 0}, "between 0 and 1"),
        ([[1.0]], [[1.0]], {"k": 0}, "k must be"),
        ([[1.0]], [[1.0]], {"lost": 0.0}, "lost must be"),
        ([[1.0]], [[1.0]], {"lost": 1}, "lost must be"),
        ([[1.0]], [[1.0]], {"lost": 0.5, "confidence": 0.5}, "not to both"),
        ([[1.0]] * 8, [[1.0]] * 8, {"lost": 0.1}, "at least 9"),
    ],
)
def test_fits_that_cannot_be_made(
    cheap: list[list[float]], full: list[list[float]], options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit_margin(cheap, full, **options)


@pytest.mark.parametrize(("value", "k"), [(-1.0, 1), (math.nan, 1), (1.0, 0), (1.0, None)])
def test_margins_that_cannot_be(value: float, k: int) -> None:
    with pytest.raises(InputError):
        Margin(value, k)


@given(st.lists(st.none() | st.floats(-30, 30), max_size=30), st.integers(1, 5))
def test_the_cheap_top_always_goes_on_and_the_unknown_too(
    scores: list[float | None], k: int
) -> None:
    kept = survivors(scores, Margin(0.0, k))
    known = [s for s in scores if s is not None]
    assert len(set(kept)) == len(kept)
    assert {i for i, s in enumerate(scores) if s is None} <= set(kept)
    best = sorted(known, reverse=True)[:k]
    values = [scores[i] for i in kept]
    found = [v for v in values if v is not None]
    assert found[: len(best)] == best
    assert all(v >= best[-1] for v in found)
    assert values[len(found) :] == [None] * (len(values) - len(found))


def test_only_what_can_reach_the_top_is_scored_by_the_full_one() -> None:
    cheap, full = Numbers(), Numbers(times=-1.0)
    response = Cascade(cheap, full, Margin(1.5, k=2)).rerank(
        "q", numbered([0.0, 5.0, 4.0, 3.0, 2.0, 2.5])
    )
    assert full.asked == [["5.0", "4.0", "3.0", "2.5"]]
    assert [r.index for r in response.results] == [5, 3, 2, 1, 0, 4]
    assert [r.scored for r in response.results] == [True] * 4 + [False] * 2
    assert response.usage.pairs == 6 + 4
    assert response.status is Status.PARTIALLY_RERANKED


def test_short_lists_and_long_wishes_go_to_the_full_one_alone() -> None:
    cheap, full = Numbers(), Numbers()
    cascade = Cascade(cheap, full, Margin(0.0, k=3))
    assert cascade.rerank("q", numbered([1.0, 2.0, 3.0])).status is Status.RERANKED
    assert cascade.rerank("q", numbered([1.0] * 9), top_k=4).status is Status.RERANKED
    assert (cheap.read, full.read) == (0, 12)
    assert cascade.rerank("q", numbered([1.0] * 9), top_k=3).usage.scored == 9


def test_the_margin_that_comes_with_the_package_is_of_these_very_models() -> None:
    cheap, full = Reranker("bundled-tiny"), Reranker()
    margin = bundled_margin(cheap, full)
    assert margin.value > 0
    assert margin.lost is not None
    assert margin.queries >= 100
    assert Cascade(cheap, full).margin == margin
    with pytest.raises(InputError, match="fit_margin"):
        Cascade(full, cheap)
    with pytest.raises(InputError, match="No margin is known"):
        Cascade(Numbers(), full)
