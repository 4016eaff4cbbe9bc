from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from secondpass.evaluate.blend_weights import (
    UNITS,
    Point,
    leave_one_out,
    search_weights,
    weight_grid,
)


def hill(top: Point) -> Callable[[Point], float]:
    return lambda point: -float(sum((a - b) ** 2 for a, b in zip(point, top, strict=True)))


@st.composite
def points(draw: st.DrawFn) -> Point:
    size = draw(st.integers(2, 3))
    cuts = sorted(draw(st.lists(st.integers(0, UNITS), min_size=size - 1, max_size=size - 1)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, UNITS], strict=True))


@given(points())
def test_the_optimum_is_found_wherever_it_lies(top: Point) -> None:
    assert search_weights(hill(top), len(top)) == top


def test_the_grid_covers_the_corners_and_sums_to_one() -> None:
    every = set(weight_grid(3, 4))
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
