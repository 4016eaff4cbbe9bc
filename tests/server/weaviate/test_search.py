"""The first pass: cutting a ranking at jumps of its scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.weaviate.get_query import GroupBy
from secondpass.server.weaviate.objects import StoredObject
from secondpass.server.weaviate.properties import Property
from secondpass.server.weaviate.search import SearchHit, autocut, group_hits


@pytest.mark.parametrize(
    ("scores", "jumps", "expected"),
    [
        ([], 1, 0),
        ([1.0], 1, 1),
        ([1.0, 0.0], 1, 2),
        ([1.0, 1.0, 1.0], 1, 3),
        ([0.1, 0.11, 0.5, 0.51], 1, 2),
        ([0.1, 0.1, 0.9, 0.9, 0.9], 1, 2),
        ([9, 8.9, 4, 3.9, 0.1, 0], 1, 2),
        ([9, 8.9, 4, 3.9, 0.1, 0], 2, 4),
        ([9, 8.9, 4, 3.9, 0.1, 0], 9, 6),
        ([9, 8.9, 4], 0, 3),
        ([9, 8.9, 4], -1, 3),
    ],
)
def test_where_a_ranking_is_cut(scores: list[float], jumps: int, expected: int) -> None:
    assert autocut(scores, jumps) == expected


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=20).map(sorted), st.integers(-1, 5), st.booleans()
)
def test_a_cut_keeps_something_of_everything(
    scores: list[float], jumps: int, falling: bool
) -> None:
    ranking = scores[::-1] if falling else scores
    kept = autocut(ranking, jumps)
    assert min(1, len(scores)) <= kept <= len(scores)
    assert kept <= autocut(ranking, jumps + 1) or jumps < 1


@given(
    st.lists(st.none() | st.integers(0, 3) | st.lists(st.sampled_from("ab"), max_size=2)),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_groups_are_of_the_first_values_and_their_first_objects(
    values: list[object], groups: int, objects: int
) -> None:
    hits = [
        SearchHit(StoredObject(str(i), {} if value is None else {"p": value}, 0, 0))
        for i, value in enumerate(values)
    ]
    found = group_hits(hits, GroupBy(Property("p", "text"), groups, objects))
    assert len(found) <= groups
    for value, group in found.items():
        ids = [int(hit.object.id) for hit in group]
        assert ids == sorted(ids)
        assert 1 <= len(ids) <= objects
        for i in ids:
            one = values[i]
            if value == "":
                assert one is None or one == []
            else:
                assert value in (one if isinstance(one, list) else [str(one)])
    if groups == 4 and objects == 3:
        firsts = [group[0] for group in found.values()]
        assert [hits.index(hit) for hit in firsts] == sorted(hits.index(h) for h in firsts)
