from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from secondpass.answer.citations import CitationFilter, find_citations
from secondpass.answer.types import Passage


def passage(number: int, text: str) -> Passage:
    return Passage(number, text, (str(number),), number)


@given(
    st.lists(
        st.sampled_from(["a", " ", "[", "]", "1", "2", "9", ",", "[1]", "[9]", "[1, 9]", "."]),
        max_size=40,
    ),
    st.lists(st.integers(1, 3), min_size=1, max_size=40),
)
@example(["[9", ",]", " [", ",9]", "[1,,9]"], [1])
def test_where_a_stream_is_cut_makes_no_difference(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    whole = CitationFilter([1, 2])
    once = whole.feed(text) + whole.flush()
    pieces = CitationFilter([1, 2])
    shown, at = "", 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        shown += pieces.feed(text[at : at + size])
        at += size
    shown += pieces.flush()
    assert shown == once
    assert pieces.removed == whole.removed
    cited = {int(n) for c in re.findall(r"\[[\d,\s]+\]", once) for n in re.findall(r"\d+", c)}
    assert cited <= {1, 2} or "[[" in text or "]]" in text


def test_a_citation_belongs_to_the_sentence_before_it() -> None:
    some = [passage(1, "Bread has flour and 350 g of water."), passage(2, "The sea is blue.")]
    text = "Bread holds flour, 350 g water [1]. Blue sea. [2] It weighs 400 g [1]. [2]"
    found = [(c.number, c.supported) for c in find_citations(text, some)]
    assert found == [(1, True), (2, True), (1, False), (2, False)]
