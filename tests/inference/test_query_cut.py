from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.inference.query_cut import cut_query, shared_tokenizer

_words = st.sampled_from(
    ["river", "Donaudampfschiff", "鉄道の駅", "x", "№9", "  \t", "a" * 130]
)
_queries = st.lists(_words | st.text(max_size=9), max_size=60).map(" ".join)


@given(_queries, st.integers(1, 20))
def test_a_query_keeps_its_ends_within_the_limit(query: str, limit: int) -> None:
    tokenizer = shared_tokenizer()
    cut = cut_query(tokenizer, query, limit)
    assert tokenizer.count(cut.text) <= limit or limit == 1
    if not cut.unread:
        assert cut.text == query
        assert tokenizer.count(query) <= limit
    assert cut_query(tokenizer, cut.text, limit).text == cut.text
    assert 0 <= cut.unread <= len(query)


def test_the_middle_is_left_out() -> None:
    words = [f"w{i}" for i in range(100)]
    cut = cut_query(shared_tokenizer(), " ".join(words), 20)
    first, last = cut.text.split()[0], cut.text.split()[-1]
    assert (first, last) == ("w0", "w99")
    assert "w50" not in cut.text
    assert cut.unread > 200


def test_a_query_of_megabytes_is_read_at_its_ends_alone() -> None:
    query = "begin " + "word " * 1_000_000 + "end"
    cut = cut_query(shared_tokenizer(), query, 64)
    assert cut.text.startswith("begin word")
    assert cut.text.endswith("word end")
    assert cut.unread > 4_000_000
    assert cut_query(shared_tokenizer(), "a" * 1_000_000, 64).unread > 900_000


def test_halves_of_characters_do_not_break_it() -> None:
    query = "\ud800 " * 400 + "\ud83d\ude00 end"
    cut = cut_query(shared_tokenizer(), query, 16)
    assert cut.text.endswith("end")
    assert cut.unread
