from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.rerank.cross_encoder import (
    label_names,
    positive_label,
    relevance_logits,
    sigmoid,
)

logit = st.floats(-60, 60)


@given(st.lists(logit, min_size=2, max_size=5))
def test_the_logit_of_several_labels_is_softmax_under_the_sigmoid(outputs: list[float]) -> None:
    exact = np.array(outputs, dtype=np.float32).astype(np.float64)
    softmax = np.exp(exact - exact.max()) / np.exp(exact - exact.max()).sum()
    for label in range(len(outputs)):
        (found,) = relevance_logits(np.array([outputs], dtype=np.float32), label)
        assert sigmoid(found) == pytest.approx(softmax[label], abs=1e-9)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_sigmoid_never_overflows(value: float) -> None:
    assert 0 <= sigmoid(value) <= 1
    assert sigmoid(value) + sigmoid(-value) == pytest.approx(1)


def test_the_sigmoid_tells_high_logits_apart() -> None:
    assert sigmoid(20.0) < sigmoid(21.0) < 1
    assert sigmoid(0.0) == 0.5
    assert math.isclose(sigmoid(-40.0), math.exp(-40))


def test_one_label_is_the_logit() -> None:
    assert relevance_logits(np.array([[1.5], [-2.0]], dtype=np.float32), -1).tolist() == [
        1.5,
        -2,
    ]


def test_names_and_the_positive_one() -> None:
    names = label_names({"id2label": {"10": "c", "2": "b", "0": "a"}})
    assert names == ("a", "b", "c")
    assert label_names({}) == ("LABEL_0", "LABEL_1")
    assert positive_label(names, None) == -1
    assert positive_label(names, 0) == 0
    assert positive_label(names, "b") == 1
    for wrong in (3, -1, "d"):
        with pytest.raises(InputError):
            positive_label(names, wrong)
