from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.retrieve.chunking import (
    approximate_tokens,
    check_chunking,
    split_document,
    split_text,
)
from secondpass.types import Document


def by_words(text: str) -> int:
    return len(text.split())


def by_characters(text: str) -> int:
    return (len(text) + 3) // 4


TEXTS = st.text(
    st.one_of(st.sampled_from(" \n\t.,;a"), st.characters(exclude_categories=["Cs"])),
    max_size=400,
)


@settings(max_examples=200)
@given(
    TEXTS, st.integers(2, 30), st.integers(0, 10), st.sampled_from([by_words, by_characters])
)
def test_chunks_are_exact_whole_and_in_order(text, tokens, overlap, count):
    overlap = min(overlap, tokens // 2)
    chunks = split_text(text, tokens, count, overlap=overlap)
    covered = [False] * len(text)
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert count(chunk.text) <= tokens + 1
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    assert all(done or c.isspace() for done, c in zip(covered, text, strict=True))
    ends = [c.end for c in chunks]
    assert ends == sorted(set(ends))
    assert [c.start for c in chunks] == sorted(c.start for c in chunks)
    if not overlap:
        assert all(a.end <= b.start for a, b in pairwise(chunks))


def test_neighbours_share_what_was_asked_for():
    text = " ".join(f"word{i}" for i in range(100))
    chunks = split_text(text, 20, by_words, overlap=5)
    for before, after in pairwise(chunks):
        assert by_words(text[after.start : before.end]) == 5
        assert by_words(after.text) <= 20


def test_a_document_that_fits_keeps_its_id():
    (only,) = split_document(Document("short text", title="T"), "doc", by_words)
    assert (only.id, only.doc_id, only.chunk, only.start, only.end) == ("doc", "doc", 0, 0, 10)


def test_chunks_are_numbered_and_keep_title_and_metadata():
    text = " ".join(f"word{i}" for i in range(50))
    document = Document(text, title="Title", metadata={"year": 1})
    made = list(split_document(document, "doc", by_words, chunk_tokens=20, overlap=0))
    assert [p.id for p in made] == [f"doc#{i}" for i in range(1, len(made) + 1)]
    assert {(p.doc_id, p.title, p.metadata["year"]) for p in made} == {("doc", "Title", 1)}
    # Two special tokens and one of the title are part of the twenty.
    assert max(by_words(p.text) for p in made) == 17
    assert all(text[p.start : p.end] == p.text for p in made)


def test_a_long_title_leaves_room_for_the_text():
    document = Document("word " * 40, title="title " * 100)
    made = list(split_document(document, "doc", by_words, chunk_tokens=20, overlap=0))
    assert max(by_words(p.text) for p in made) == 10


def test_none_keeps_documents_whole():
    (only,) = split_document(Document("word " * 5000), "doc", by_words, chunk_tokens=None)
    assert only.id == "doc"


def test_white_space_alone_is_no_passage_but_a_title_is():
    assert list(split_document(Document(" \n\t"), "doc", by_words)) == []
    assert list(split_document(Document("", title=" "), "doc", by_words)) == []
    assert [p.title for p in split_document(Document("", title="T"), "doc", by_words)] == ["T"]


def test_offsets_count_what_is_stored():
    (only,) = split_document(Document("a\ud800b"), "doc", by_words)
    assert (only.text, only.end) == ("a\ufffdb", 3)


def test_a_text_without_breaks_is_cut_anyway():
    chunks = split_text("x" * 10_000, 50, by_characters)
    assert "".join(c.text for c in chunks) == "x" * 10_000


@pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (-1, 0), (7, 0), (20, 11), (20, -1)])
def test_lengths_that_cannot_work(tokens, overlap):
    with pytest.raises(InputError):
        check_chunking(tokens, overlap)


def test_tokens_are_estimated_where_nothing_can_count_them():
    assert approximate_tokens("one two three") == 4
    assert approximate_tokens("") == 0
