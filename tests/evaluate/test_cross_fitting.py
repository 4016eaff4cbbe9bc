from __future__ import annotations

import numpy as np

from secondpass.evaluate.cross_fitting import (
    choose_variant,
    cross_fit,
    make_folds,
    nested_cross_fit,
    split_mask,
)
from secondpass.evaluate.variants import SearchVariant


def variant(values: list[list[float]], cost: float = 1.0) -> SearchVariant:
    return SearchVariant(
        "f", [{} for _ in values], np.array(values), cost, "blend", lambda _: {}
    )


def test_a_query_has_no_say_in_its_own_setting() -> None:
    # One setting is right for even queries, the other for odd ones.
    even = [float(i % 2 == 0) for i in range(20)]
    one = variant([even, [1 - v for v in even]])
    rows = np.array([i % 2 == 0 for i in range(20)])
    assert cross_fit(one, [rows, ~rows]).sum() == 0.0


def test_masks_are_disjoint_and_cover_all() -> None:
    rows = np.random.default_rng(0).random(23) < 0.7
    for masks in (make_folds(23, 5), split_mask(rows, 4)):
        assert max(np.sum(masks, axis=0)) == 1
    assert np.array_equal(np.sum(split_mask(rows, 4), axis=0), rows)


def test_the_cheaper_of_equals_is_taken() -> None:
    chooser = np.random.default_rng(0)
    good = chooser.random(50)
    dear = variant([good.tolist()], cost=9.0)
    cheap = variant([good.tolist()], cost=2.0)
    bad = variant([(good - 0.5).tolist()], cost=1.0)
    rows = np.ones(50, dtype=bool)
    assert choose_variant([dear, bad, cheap], rows) == 2


def test_choosing_among_noise_flatters_and_nesting_does_not() -> None:
    chooser = np.random.default_rng(3)
    noise = [variant([chooser.normal(0, 1, 60).tolist()]) for _ in range(60)]
    rows = np.ones(60, dtype=bool)
    inner = noise[choose_variant(noise, rows)].values[0].mean()
    outer = nested_cross_fit(noise, make_folds(60, 5)).values.mean()
    assert inner > 0.2
    assert abs(outer) < inner
