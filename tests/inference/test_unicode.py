from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.inference.unicode import clean


@given(st.text(st.characters(exclude_categories=[])))
def test_cleaned_text_can_be_encoded_and_is_stable(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert clean(cleaned) == cleaned


@given(st.text())
def test_text_without_surrogates_is_unchanged(text: str) -> None:
    assert clean(text) == text


def test_halves_that_belong_together_are_joined() -> None:
    assert clean("\ud83d\ude80") == "🚀"
    assert clean("a\ud83db") == "a\ufffdb"
