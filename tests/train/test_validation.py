from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.train.trainer.loop import learning_rate_factor
from secondpass.train.trainer.settings import Decay
from secondpass.train.trainer.validation import macro_mean, ndcg, ranks, reciprocal_rank


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20), st.data())
def test_ranks_are_those_of_a_sort_in_which_positives_come_last(
    values: list[int], data: st.DataObject
) -> None:
    positives = data.draw(st.integers(1, len(values)))
    order = sorted(range(len(values)), key=lambda i: (-values[i], i < positives, i))
    positive_ranks = ranks(np.array(values, dtype=np.float64), positives)
    assert positive_ranks.tolist() == [order.index(i) + 1 for i in range(positives)]
    assert reciprocal_rank(positive_ranks) == 1 / positive_ranks.min()
    assert 0 <= ndcg(positive_ranks) <= 1


def test_ndcg_of_known_ranks() -> None:
    assert ndcg(np.array([1, 2])) == pytest.approx(1)
    assert ndcg(np.array([2])) == pytest.approx(1 / np.log2(3))
    assert ndcg(np.array([11])) == 0


def test_every_source_counts_alike() -> None:
    mean, each = macro_mean([1, 0, 0, 0], ["few", "many", "many", "many"])
    assert mean == 0.5
    assert each == {"few": 1, "many": 0}


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(get_args(Decay)), st.floats(0, 1))
def test_the_rate_stays_between_0_and_1(
    share: float, warm: float, decay: Decay, floor: float
) -> None:
    assert 0 <= learning_rate_factor(share, warm, decay, floor) <= 1 + 1e-12
    assert learning_rate_factor(1, warm, decay, floor) == pytest.approx(
        1 if warm == 1 else floor
    )
