from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.explain.occlusion import find_words, join_spans
from secondpass.explain.phrases import highlight_spans, ordinal
from secondpass.explain.types import Span
from secondpass.sentences import split_sentences


@given(st.text(min_size=1, max_size=60))
def test_highlighted_spans_make_the_whole_text(text: str) -> None:
    sentences = [
        Span("text", "sentence", start, end, text[start:end], float(i))
        for i, (start, end) in enumerate(join_spans(split_sentences(text), 9))
    ]
    words = []
    if sentences:
        within = (sentences[0].start, sentences[0].end)
        words = [
            Span("text", "word", start, end, text[start:end], -float(i))
            for i, (start, end) in enumerate(find_words(text, within, 9))
        ]
    pieces = highlight_spans(text, "text", [*sentences, *words])
    assert "".join(piece.text for piece in pieces) == text
    assert all(-1 <= piece.strength <= 1 for piece in pieces)


def test_ordinals() -> None:
    ordinals = [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    assert " ".join(ordinals) == "1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th"
