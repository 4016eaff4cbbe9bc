from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.train.data.augment import (
    Augmentation,
    add_typo,
    augment,
    query_variants,
    to_keywords,
)

likely = st.floats(0, 1)
queries = st.text(min_size=1, max_size=60).filter(lambda text: bool(text.strip()))
augmentations = st.builds(Augmentation, likely, likely, likely, likely)


@given(queries, augmentations, st.integers())
def test_a_query_never_loses_all_of_its_text(
    query: str, augmentation: Augmentation, seed: int
) -> None:
    result = augment(query, augmentation, random.Random(seed))
    assert isinstance(result, str)
    assert result.strip()


@given(queries, augmentations, st.integers(0, 5), st.text(max_size=5))
def test_variants_are_new_and_the_same_for_a_seed(
    query: str, augmentation: Augmentation, count: int, seed: str
) -> None:
    result = query_variants(query, count, augmentation, seed)
    assert result == query_variants(query, count, augmentation, seed)
    assert len(result) == len(set(result)) <= count
    assert query not in result


@given(queries, st.integers())
def test_a_typing_error_changes_one_letter_or_two(query: str, seed: int) -> None:
    result = add_typo(query, random.Random(seed))
    assert abs(len(result) - len(query)) <= 1
    assert result[:1] == query[:1]


def test_each_change() -> None:
    question = "How do I reset the Password of my router?"
    rng = random.Random(0)
    assert augment(question, Augmentation(0, 0, 0, 0), rng) == question
    assert augment(question, Augmentation(1, 1, 0, 0), rng) == question.lower()[:-1]
    assert augment(question, Augmentation(0, 0, 1, 0), rng) == "reset Password router"
    assert augment(question, Augmentation(0, 0, 0, 1), rng) != question
    assert to_keywords("who is it?") == "who is it?"


@pytest.mark.parametrize("likelihood", [-0.1, 1.1, float("nan"), None, "1"])
def test_what_is_no_likelihood_is_refused(likelihood: float) -> None:
    with pytest.raises(InputError, match="typos"):
        Augmentation(typos=likelihood)
