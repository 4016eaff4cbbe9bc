"""Groups of passages: what stays of a ranking."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.retrieve.groups import Placement, place
from secondpass.types import Document, Origin

passages = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from((None, "", "x", 0, 1.5))), max_size=20
)


def ranking(rows: list[tuple[int, object]]) -> list[Document]:
    return [
        Document(
            "t",
            id=f"d{document}#{n}",
            metadata={} if value is None else {"field": value},
            origin=Origin(f"d{document}", n, 0, 1),
        )
        for n, (document, value) in enumerate(rows, 1)
    ]


@given(passages, st.integers(1, 3), st.sampled_from(("document", "field", None)))
def test_at_most_so_many_of_a_group_and_the_best_ones(
    rows: list[tuple[int, object]], size: int, group_by: str | None
) -> None:
    documents = ranking(rows)
    kept = place(documents, Placement(group_by, size))
    assert kept.positions == sorted(set(kept.positions))
    groups = [document if group_by == "document" else value for document, value in rows]
    sizes: Counter[object] = Counter()
    expected = []
    for i, group in enumerate(groups):
        sizes[group] += 1
        if group_by is None or group is None or sizes[group] <= size:
            expected.append(i)
    assert kept.positions == expected
    if group_by is not None:
        none = sum(group is None for group in groups)
        assert kept.without == none
        assert kept.groups == len({group for group in groups if group is not None}) + none


def test_hidden_ones_do_not_count_and_first_ones_take_the_place() -> None:
    documents = ranking([(0, "x"), (0, "x"), (1, "x"), (2, None)])
    assert place(documents, Placement(hidden=frozenset({"d0"}))).positions == [2, 3]
    assert place(documents, Placement(hidden=frozenset({"d0#1"}))).positions == [1, 2, 3]
    one = Placement("document", hidden=frozenset({"d0#1"}))
    assert place(documents, one).positions == [1, 2, 3]
    first = Placement("field", first=frozenset({"d1"}))
    assert place(documents, first).positions == [2, 3]


def test_a_field_that_is_not_there() -> None:
    Placement("document").check({})
    Placement("year").check({"year": "integer"})
    with pytest.raises(InputError, match="Did you mean 'year'"):
        Placement("yaer").check({"year": "integer"})
