"""Context expansion of chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.retrieve.chunking import split_document
from secondpass.server.cloudflare.search import join_chunks
from secondpass.types import Document, Origin


@given(st.lists(st.integers(1, 9).map("word ".__mul__), min_size=1, max_size=30))
def test_joined_neighbors_are_the_text(parts: list[str]) -> None:
    text = "\n\n".join(f"{n} {part}." for n, part in enumerate(parts)).strip()
    chunks = [
        Document(p.text, origin=Origin(p.doc_id, p.chunk, p.start, p.end))
        for p in split_document(Document(text), "d", lambda t: len(t.split()), chunk_tokens=10)
    ]
    assert chunks[0].origin is not None
    assert join_chunks(chunks).split() == text[chunks[0].origin.start :].split()
