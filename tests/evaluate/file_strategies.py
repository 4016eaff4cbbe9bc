"""Strategies for ids and nested mappings in files of runs and qrels."""

from __future__ import annotations

from hypothesis import strategies as st

ids = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=6,
).filter(lambda text: text.split() == [text])
free = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: bool(text.strip())
)
scores = st.floats(allow_nan=False, allow_infinity=False, width=32)
SUFFIXES = ["trec", "txt.gz", "jsonl", "jsonl.gz"]


def nested(names: st.SearchStrategy[str], values: st.SearchStrategy[object]) -> object:
    return st.dictionaries(
        names, st.dictionaries(names, values, min_size=1, max_size=5), min_size=1, max_size=4
    )
