from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from secondpass.explain.occlusion import delete_spans, find_words, join_spans
from secondpass.sentences import split_sentences

texts = st.one_of(st.text(), st.text(alphabet="ab .!?\n。\"')", max_size=80))


@given(texts, st.integers(1, 5))
def test_joined_sentences_do_not_overlap_and_hold_all_that_is_not_blank(
    text: str, limit: int
) -> None:
    spans = join_spans(split_sentences(text), limit)
    assert len(spans) <= limit
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert all(start < end and text[start:end].strip() for start, end in spans)
    assert not delete_spans(text, spans).strip()


@given(texts, st.integers(1, 9))
def test_words_are_within_their_part_of_the_text(text: str, limit: int) -> None:
    within = (len(text) // 3, len(text))
    words = find_words(text, within, limit)
    assert len(words) <= limit
    assert all(within[0] <= start < end <= within[1] for start, end in words)
    assert not delete_spans(text, [(0, within[0]), *words]).strip()
