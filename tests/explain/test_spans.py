from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from secondpass.explain.occlusion import sentences, without, words
from secondpass.explain.phrases import shades
from secondpass.explain.types import Span

texts = st.one_of(st.text(), st.text(alphabet="ab .!?\n。\"')", max_size=80))


@given(texts, st.integers(1, 5))
def test_sentences_are_apart_and_hold_all_that_is_not_blank(text: str, most: int) -> None:
    places = sentences(text, most)
    assert len(places) <= most
    assert all(a[1] <= b[0] for a, b in pairwise(places))
    assert all(start < end and text[start:end].strip() for start, end in places)
    assert not without(text, places).strip()


@given(texts, st.integers(1, 9))
def test_words_are_within_their_place(text: str, most: int) -> None:
    place = (len(text) // 3, len(text))
    found = words(text, place, most)
    assert len(found) <= most
    assert all(place[0] <= start < end <= place[1] for start, end in found)
    assert not without(text, [(0, place[0]), *found]).strip()


def test_sentences_end_where_readers_say() -> None:
    text = 'One is here. Somebody asks "why?" Three\nfour。五'
    assert [text[a:b] for a, b in sentences(text, 40)] == [
        "One is here.",
        'Somebody asks "why?"',
        "Three",
        "four。",
        "五",
    ]


@given(st.text(min_size=1, max_size=60))
def test_shades_make_the_whole_text(text: str) -> None:
    coarse = [
        Span("text", "sentence", a, b, text[a:b], float(i))
        for i, (a, b) in enumerate(sentences(text, 9))
    ]
    fine = (
        [
            Span("text", "word", a, b, text[a:b], -float(i))
            for i, (a, b) in enumerate(words(text, (coarse[0].start, coarse[0].end), 9))
        ]
        if coarse
        else []
    )
    found = shades(text, "text", [*coarse, *fine])
    assert "".join(shade.text for shade in found) == text
    assert all(-1 <= shade.strength <= 1 for shade in found)
