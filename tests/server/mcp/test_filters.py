"""Filters of agents: understood, or refused; never a way into SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import Document, FilterError, Index
from secondpass.server.mcp.filters import filter_condition

FIELDS = {
    "lang": "text",
    "year": "integer",
    "order": "boolean",
    "Day": "date",
    "at": "datetime",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rows = [
        ("a", {"lang": "en", "year": 2010, "order": True, "Day": date(2020, 1, 2)}),
        ("b", {"lang": "it's", "year": 2020, "order": False, "share": 0.5}),
        ("c", {"at": datetime(2024, 1, 2, 12, tzinfo=UTC), "share": 1.5}),
    ]
    with Index.open(tmp_path_factory.mktemp("filters") / "index") as opened:
        opened.add([Document(f"river {name}", id=name, metadata=m) for name, m in rows])
        yield opened


def found(index: Index, filters: Any) -> set[str | None]:
    where = filter_condition(filters, index.store.fields)
    response = index.search("river", rerank=False, filter=where, top_k=None)
    return {result.id for result in response.results}


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (None, "abc"),
        ({}, "abc"),
        ({"lang": "en"}, "a"),
        ({"LANG": "it's"}, "b"),
        ({"lang": ["en", "it's"]}, "ab"),
        ({"lang": []}, ""),
        ({"order": True}, "a"),
        ({"order": False}, "b"),
        ({"year": 2010}, "a"),
        ({"year": {"$gt": 2010, "$lte": 2020}}, "b"),
        ({"year": {"$ne": 2010}}, "b"),
        ({"year": {"$gte": 0}, "lang": "en"}, "a"),
        ({"share": {"$lt": 1}}, "b"),
        ({"share": 1.5}, "c"),
        ({"day": "2020-01-02"}, "a"),
        ({"day": {"$lt": "2020-01-02"}}, ""),
        ({"at": {"$gte": "2024-01-02T13:00:00+01:00"}}, "c"),
        ({"at": {"$gt": "2024-01-02 12:00:00"}}, ""),
    ],
)
def test_what_passes(index: Index, filters: Any, ids: str) -> None:
    assert found(index, filters) == set(ids)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"lnag": "en"}, "Did you mean 'lang'"),
        ({"lang": 7}, "its type is text"),
        ({"lang": None}, "its type is text"),
        ({"year": "2010"}, "its type is integer"),
        ({"year": True}, "its type is integer"),
        ({"year": float("nan")}, "its type is integer"),
        ({"order": 1}, "its type is boolean"),
        ({"day": "yesterday"}, "its type is date"),
        ({"year": {"$near": 1}}, "there is no operator"),
        ({"year": {"$gt": [1]}}, "does not fit"),
    ],
)
def test_what_is_refused(index: Index, filters: Any, said: str) -> None:
    with pytest.raises(FilterError) as caught:
        found(index, filters)
    assert said in str(caught.value)


NASTY = st.text(alphabet="'\"`;-= aORx1%\\\n", max_size=12)


@settings(max_examples=40)
@given(NASTY)
def test_no_text_means_anything_but_itself(index: Index, text: str) -> None:
    assert found(index, {"lang": text}) == set()


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "x", "`", "year OR 1=1"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["$eq", "$gt", "x"]), inner, max_size=2)
            ),
            max_leaves=4,
        ),
        max_size=3,
    )
)
def test_whatever_a_filter_holds_it_is_a_condition_or_refused(filters: Any) -> None:
    try:
        made = filter_condition(filters, FIELDS)
    except FilterError:
        return
    assert made is None or isinstance(made, str)
