"""Which queries are questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.rerank.question import is_question


@pytest.mark.parametrize(
    "query",
    [
        "When did the black death reach England?",
        "how do I reset the password",
        "In what year did the war end",
        "IS the sky blue",
        "what's a reranker",
        "  ¿Dónde está la biblioteca? ",
        "黒死病はいつイングランドに到達しましたか\N{FULLWIDTH QUESTION MARK}",
        "the oil crisis?",
    ],
)
def test_a_question(query: str) -> None:
    assert is_question(query)


@pytest.mark.parametrize(
    "query",
    [
        "black death england",
        "Vitamin D does not prevent fractures.",
        "the year in which the war ended",
        "history of the question mark (?) in print",
        "whatever",
        "42",
        "?!",
    ],
)
def test_no_question(query: str) -> None:
    assert not is_question(query)


@given(st.text(max_size=40))
def test_a_question_mark_at_the_end_makes_one(text: str) -> None:
    assert is_question(text + "?")
    assert is_question("Who " + text)
    assert is_question(text) == is_question(f" {text}\n")
