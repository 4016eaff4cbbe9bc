from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, FirstStageScores, RankedDocument, ScoreKind
from secondpass.answer.citations import CitationFilter, citations
from secondpass.answer.extractive import sentences
from secondpass.answer.prompt import assemble, ends_first
from secondpass.answer.types import Passage


def words(text: str) -> int:
    return len(text.split())


def result(
    rank: int, text: str, *, name: str = "", chunk: tuple[str, int] | None = None
) -> RankedDocument:
    metadata = {}
    if chunk is not None:
        owner, start = chunk
        metadata = {"document_id": owner, "start": start, "end": start + len(text), "chunk": 1}
    return RankedDocument(
        index=rank - 1,
        rank=rank,
        score=1.0,
        score_kind=ScoreKind.RANK,
        first_stage=FirstStageScores(rank),
        id=name or f"d{rank}",
        document=Document(text, metadata=metadata),
        probability=1 / rank,
    )


def passage(number: int, text: str = "") -> Passage:
    return Passage(number, text, (str(number),), number)


def test_neighbours_are_merged_and_copies_left_out() -> None:
    whole = "The first part of it. The second part of it. The third part of it."
    found = assemble(
        [
            result(1, whole[22:44], chunk=("x", 22)),
            result(2, "Something else."),
            result(3, whole[10:30], chunk=("x", 10)),
            result(4, "Something  else."),
            result(5, "something else."),
            result(6, whole[45:], chunk=("x", 45)),
        ],
        tokens=1000,
        count=words,
    )
    assert [p.text for p in found] == [whole[10:], "Something else."]
    assert found[0].ids == ("d3", "d1", "d6")
    assert (found[0].rank, found[0].probability) == (1, 1.0)


def test_the_context_stays_within_its_tokens() -> None:
    some = [result(n, f"number {n} " * n) for n in range(1, 9)]
    for tokens in (1, 5, 30, 100):
        found = assemble(some, tokens=tokens, count=words)
        assert found
        assert sum(words(p.text) for p in found) <= max(tokens, 1)
    assert assemble([result(1, " ")], tokens=9, count=words) == ()


@given(st.integers(0, 12))
def test_the_best_stand_at_both_ends(n: int) -> None:
    order = [p.number for p in ends_first([passage(i + 1) for i in range(n)])]
    assert sorted(order) == list(range(1, n + 1))
    if n > 2:
        assert (order[0], order[-1]) == (1, 2)


@given(
    st.lists(
        st.sampled_from(["a", " ", "[", "]", "1", "2", "9", ",", "[1]", "[9]", "[1, 9]", "."]),
        max_size=40,
    ),
    st.lists(st.integers(1, 3), min_size=1, max_size=40),
)
def test_where_a_stream_is_cut_makes_no_difference(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    whole = CitationFilter([1, 2])
    once = whole.feed(text) + whole.end()
    pieces = CitationFilter([1, 2])
    shown, at = "", 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        shown += pieces.feed(text[at : at + size])
        at += size
    shown += pieces.end()
    assert shown == once
    assert pieces.removed == whole.removed
    cited = {int(n) for c in re.findall(r"\[[\d,\s]+\]", once) for n in re.findall(r"\d+", c)}
    assert cited <= {1, 2} or "[[" in text or "]]" in text


def test_a_citation_belongs_to_the_sentence_before_it() -> None:
    some = [passage(1, "Bread has flour and 350 g of water."), passage(2, "The sea is blue.")]
    text = "Bread holds flour, 350 g water [1]. Blue sea. [2] It weighs 400 g [1]. [2]"
    found = [(c.number, c.supported) for c in citations(text, some)]
    assert found == [(1, True), (2, True), (1, False), (2, False)]


@given(st.text(max_size=200))
def test_sentences_are_in_order_and_lose_no_letter(text: str) -> None:
    spans = list(sentences(text))
    assert all(a < b <= len(text) for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    inside = "".join(text[a:b] for a, b in spans)
    assert [c for c in inside if c.isalnum()] == [c for c in text if c.isalnum()]


def test_sentences_end_where_readers_see_them_end() -> None:
    text = (
        "Dr. Smith paid $3.50 in St. Louis. “Why?” He left, e.g. by car.\nA title\nこれ。それ。"
    )
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. Smith paid $3.50 in St. Louis.",
        "“Why?”",
        "He left, e.g. by car.",
        "A title",
        "これ。",
        "それ。",
    ]
