"""Fusion of vector and keyword hits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.cloudflare.retrieval import RetrievedChunk, fuse
from secondpass.types import Document

HYBRID = cast(Any, SimpleNamespace(retrieval_type="hybrid"))


def chunk(name: str, vector: float | None, keyword: float | None) -> RetrievedChunk:
    ranks = {"vector_rank": None if vector is None else 1}
    ranks["keyword_rank"] = None if keyword is None else 1
    item = cast(Any, None)
    return RetrievedChunk(
        HYBRID, Document("", id=name), item, vector_score=vector, keyword_score=keyword, **ranks
    )


_scores = st.none() | st.floats(0, 1)
_chunks = st.lists(
    st.tuples(_scores, st.none() | st.floats(0, 1e6)).filter(lambda p: p != (None, None)),
    max_size=70,
).map(lambda rows: [chunk(f"c{n:03}", *row) for n, row in enumerate(rows)])


@given(_chunks, st.sampled_from(["rrf", "max"]))
def test_fused_scores_are_between_0_and_1_in_falling_order(
    chunks: list[RetrievedChunk], method: Any
) -> None:
    ranked = fuse(chunks, method)
    assert len(ranked) == min(50, len(chunks))
    scores = [c.score for c in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= s <= 1 for s in scores)
    assert {c.id for c in ranked} <= {c.id for c in chunks}
    shuffled = fuse(chunks[::-1], method)
    assert [c.id for c in shuffled] == [c.id for c in ranked]


def test_a_chunk_first_by_vectors_and_keywords_has_score_1() -> None:
    chunks = [chunk("a", 0.9, 7.0), chunk("b", 0.8, None), chunk("c", None, 3.0)]
    by_rank = {c.id: c.score for c in fuse(chunks, "rrf")}
    assert by_rank["a"] == 1
    assert by_rank["b"] == by_rank["c"] == pytest.approx(61 / 62 / 2)
    by_share = {c.id: c.score for c in fuse(chunks, "max")}
    assert by_share == pytest.approx({"a": 1, "b": 0.8 / 0.9, "c": 3 / 7})
