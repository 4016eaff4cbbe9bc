"""Relevance feedback: words and vectors of relevant passages beside those of a query."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.retrieve.expansion import (
    AWAY,
    QUERY_SHARE,
    TOWARDS,
    WORDS,
    Expansion,
    choose_direction,
    expand_words,
)
from secondpass.retrieve.keywords import find_query_keywords


def test_words_of_relevant_texts_are_added_with_their_frequencies() -> None:
    weights = expand_words("tide tables", ["moon moon tide", "moon sun"])
    assert list(weights) == ["tide", "tables", "moon", "sun"]
    assert weights["tables"] == pytest.approx(QUERY_SHARE)
    shares = {"moon": (2 / 3 + 1 / 2) / 2, "tide": 1 / 6, "sun": 1 / 4}
    assert weights["moon"] == pytest.approx((1 - QUERY_SHARE) * 2 * shares["moon"])
    assert weights["tide"] == pytest.approx(QUERY_SHARE + (1 - QUERY_SHARE) * 2 / 6)


@given(st.text(max_size=30), st.lists(st.text(max_size=60), max_size=4))
def test_weights_sum_to_the_number_of_words_of_the_query(query: str, texts: list[str]) -> None:
    own = find_query_keywords(query)
    weights = expand_words(query, texts)
    if not own or not any(find_query_keywords(text) for text in texts):
        assert weights == {}
        return
    assert sum(weights.values()) == pytest.approx(len(own))
    assert len(weights) <= WORDS + len(own)
    assert all(weight > 0 for weight in weights.values())


def test_a_vector_moves_towards_some_and_away_from_others() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    assert choose_direction([]) is None
    direction = choose_direction([y, y], [z])
    assert direction is not None
    assert direction.tolist() == pytest.approx([0, TOWARDS, -AWAY])
    moved = Expansion(direction=direction).move(x)
    assert np.linalg.norm(moved) == pytest.approx(1)
    assert moved.dtype == np.float32
    assert moved[1] / moved[0] == pytest.approx(TOWARDS)
    away = choose_direction([], [z])
    assert away is not None
    assert away.tolist() == pytest.approx([0, 0, -AWAY])
    assert Expansion().move(x) is x
    assert Expansion(direction=-x).move(x) is x
