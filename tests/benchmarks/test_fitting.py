from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measuring.fitting import UNITS, Point, best, grid, leave_one_out
from measuring.fusions import FUSIONS, fused
from measuring.pools import COLUMNS, ndcg
from measuring.weighing import fit

from tests.benchmarks.pools import random_pool


def hill(top: Point) -> Callable[[Point], float]:
    return lambda point: -float(sum((a - b) ** 2 for a, b in zip(point, top, strict=True)))


@st.composite
def points(draw: st.DrawFn) -> Point:
    size = draw(st.integers(2, 3))
    cuts = sorted(draw(st.lists(st.integers(0, UNITS), min_size=size - 1, max_size=size - 1)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, UNITS], strict=True))


@given(points())
def test_the_optimum_is_found_wherever_it_lies(top: Point) -> None:
    assert best(hill(top), len(top)) == top


def test_the_grid_covers_the_corners_and_sums_to_one() -> None:
    every = set(grid(3, 4))
    assert {(UNITS, 0, 0), (0, UNITS, 0), (0, 0, UNITS)} <= every
    assert len(every) == 66
    assert all(sum(point) == UNITS for point in every)


def test_a_collection_has_no_say_in_its_own_weights() -> None:
    values = {"a": hill((40, 0)), "b": hill((0, 40)), "c": hill((20, 20))}
    held, everywhere = leave_one_out(values, 2)
    assert held == {"a": (10, 30), "b": (30, 10), "c": (20, 20)}
    assert everywhere == (20, 20)
    changed, _ = leave_one_out({**values, "a": hill((5, 35))}, 2)
    assert changed["a"] == held["a"]
    assert changed["b"] != held["b"]


def test_a_single_collection_has_nothing_to_be_fitted_on() -> None:
    assert leave_one_out({"a": hill((12, 28))}, 2) == ({}, (12, 28))


def test_the_weights_that_made_the_grades_are_recovered() -> None:
    truth = (2.0, 1.0, 0.5)
    pools = {name: {"bm25": random_pool(i, truth)} for i, name in enumerate("abc")}
    found = fit(pools, COLUMNS)
    for weights in [*found.held.values(), found.everywhere]:
        assert weights["rerank"] == 1.0
        assert weights["vector"] == pytest.approx(0.5, abs=0.15)
        assert weights["bm25"] == pytest.approx(0.25, abs=0.15)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_column_of_noise_gets_little_weight(fusion: str) -> None:
    pools = {name: {"bm25": random_pool(i, (1.0, 0.0, 0.0))} for i, name in enumerate("abc")}
    found = fit(pools, COLUMNS, fusion)
    for name, settings in pools.items():
        scores = found.scores(name, settings["bm25"])
        assert float(ndcg(settings["bm25"], scores).mean()) > 0.97


def test_both_settings_have_the_same_say() -> None:
    left, right = random_pool(0, (1.0, 0.0, 0.0)), random_pool(1, (0.0, 1.0, 0.0), questions=3)
    pools = {name: {"bm25": left, "hybrid": right} for name in "ab"}
    weights = fit(pools, COLUMNS).everywhere

    def value(weights: dict[str, float]) -> float:
        columns = [FUSIONS["z-scores"](p) for p in (left, right)]
        pairs = zip((left, right), columns, strict=True)
        return float(np.mean([ndcg(p, fused(c, weights)).mean() for p, c in pairs]))

    for other in ({"rerank": 1.0}, {"vector": 1.0}, {"bm25": 1.0}):
        assert value(dict(weights)) >= value(other)
