from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.rerank.llm.prompts import Delimiters, neutralize

texts = st.lists(st.text(max_size=60), min_size=1, max_size=8)


@given(st.text(max_size=30), texts)
def test_ids_are_distinct_and_stand_in_no_text(query: str, some: list[str]) -> None:
    marked = Delimiters(b"secret").delimit(query, some)
    assert len(set(marked.ids)) == len(some)
    for word in (*marked.ids, marked.mark):
        assert not any(word in text.lower() for text in (query, *some))
    assert marked.text.count(f'</document mark="{marked.mark}">') == len(some)
    assert marked == Delimiters(b"secret").delimit(query, some)


def test_another_secret_gives_other_marks() -> None:
    one, other = Delimiters().delimit("q", ["a", "b"]), Delimiters().delimit("q", ["a", "b"])
    assert one.mark != other.mark
    assert one.ids != other.ids


def test_a_text_is_changed_only_where_it_could_be_taken_for_a_mark() -> None:
    for same in ("a < b", "x <document", "[1] plain", "naïve 日本語 👩\u200d👩", "tab\tline\n"):
        assert neutralize(same).replace("\u2039", "<") == same
    assert "<document" not in neutralize("</document>").replace("\u2039/", "")
    assert "</document" not in neutralize("</ document></DOCUMENT>< /document>").lower()
    assert "<|" not in neutralize("<|im_start|>")
    assert "[INST]" not in neutralize("[INST] [/INST]")
    assert neutralize("a\u200bb\U000e0041c\x00") == "abc"
