from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.train.data.augment import Augmentation, augmented, keywords, mistyped, variants

likely = st.floats(0, 1)
queries = st.text(min_size=1, max_size=60).filter(lambda text: bool(text.strip()))
ways = st.builds(Augmentation, likely, likely, likely, likely)


@given(queries, ways, st.integers())
def test_a_query_never_loses_all_of_its_text(query: str, how: Augmentation, seed: int) -> None:
    found = augmented(query, how, random.Random(seed))
    assert isinstance(found, str)
    assert found.strip()


@given(queries, ways, st.integers(0, 5), st.text(max_size=5))
def test_variants_are_new_and_the_same_for_a_seed(
    query: str, how: Augmentation, count: int, seed: str
) -> None:
    found = variants(query, count, how, seed)
    assert found == variants(query, count, how, seed)
    assert len(found) == len(set(found)) <= count
    assert query not in found


@given(queries, st.integers())
def test_a_typing_error_changes_one_letter_or_two(query: str, seed: int) -> None:
    found = mistyped(query, random.Random(seed))
    assert abs(len(found) - len(query)) <= 1
    assert found[:1] == query[:1]


def test_each_change() -> None:
    question = "How do I reset the Password of my router?"
    chance = random.Random(0)
    assert augmented(question, Augmentation(0, 0, 0, 0), chance) == question
    assert augmented(question, Augmentation(1, 1, 0, 0), chance) == question.lower()[:-1]
    assert augmented(question, Augmentation(0, 0, 1, 0), chance) == "reset Password router"
    assert augmented(question, Augmentation(0, 0, 0, 1), chance) != question
    assert keywords("who is it?") == "who is it?"


@pytest.mark.parametrize("likelihood", [-0.1, 1.1, float("nan"), None, "1"])
def test_what_is_no_likelihood_is_refused(likelihood: float) -> None:
    with pytest.raises(InputError, match="typos"):
        Augmentation(typos=likelihood)
