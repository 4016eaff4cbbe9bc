"""What a second model changes: means, their standard error, and what may be lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from harness.model_change import Change, changes_table, loss_target, mean_change, top_10_overlap
from quantization import bm25


def change(name: str, differences: list[float]) -> Change:
    one = np.full(len(differences), 0.5)
    return Change(name, one, one + differences, 0.9)


def test_each_collection_counts_the_same_and_errors_add_up() -> None:
    few, many = change("few", [0.1, -0.1]), change("many", [0.02, 0.0] * 50)
    assert few.mean == pytest.approx(0)
    assert few.error == pytest.approx(0.1)
    assert many.error == pytest.approx(0.01 / math.sqrt(99))
    mean, error = mean_change([few, many])
    assert mean == pytest.approx(0.005)
    assert error == pytest.approx(math.sqrt(0.1**2 + 0.0001 / 99) / 2)
    # One question says nothing of others.
    assert math.isnan(mean_change([few, change("one", [0.1])])[1])


def test_the_table_has_a_row_each_and_the_mean_of_several() -> None:
    changes = [change("a", [0.1, -0.1]), change("b", [0.01, 0.01])]
    rows = list(changes_table(iter(changes), ["fp32", "int8"]))
    assert rows[2] == "| a | 2 | 0.5000 | 0.5000 | +0.0000 ± 0.1000 | 0.900 |"
    assert rows[4] == "| **mean of 2** | 4 | 0.5000 | 0.5050 | +0.0050 ± 0.0500 | 0.900 |"
    assert len(list(changes_table(iter(changes[:1]), ["fp32", "int8"]))) == 3


def test_a_loss_is_met_or_missed_and_says_how_sure_that_is() -> None:
    lost = [change("a", [-0.004, -0.002]), change("b", [-0.002, -0.002])]
    assert loss_target(lost, 0.003).met is True
    assert loss_target(lost, 0.002).met is False
    assert "no worse than -0.0033" in loss_target(lost, 0.003).text


def test_what_is_shared_of_the_top_10() -> None:
    ten = [str(n) for n in range(10)]
    assert top_10_overlap({"q": [*ten, "x"]}, {"q": [*ten[1:], "x", "0"]}) == pytest.approx(0.9)
    assert top_10_overlap({"q": ["a", "b"], "none": []}, {"q": ["b", "a"], "none": []}) == 1.0


def test_candidates_are_the_best_by_their_words() -> None:
    corpus = {"a": "the sea the sea", "b": "a ship at sea", "c": "bread"}
    found = bm25(corpus, {"1": "ship sea", "2": "Bread", "3": "unknown"}, 2)
    assert found == {"1": ["b", "a"], "2": ["c"], "3": []}
