"""Filters in the forms of engines without SQL; that they hold for the same rows is tested by
`tests/contract/retrievers`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import FilterError
from secondpass.retrieve.backends.filter_json import (
    chroma_where,
    milvus_expression,
    qdrant_filter,
    search_query,
    translate,
)
from secondpass.retrieve.filter_tree import Comparison, IsNull, filter_holds, parse_filter

FIELDS = {"year": "integer", "lang": "text", "fresh": "boolean", "day": "date"}


def parse(condition: str) -> Any:
    return parse_filter(condition, FIELDS)


conditions = st.recursive(
    st.sampled_from(
        ["year > 3", "year = 3", "lang IN ('a', 'b')", "lang IS NULL", "true", "false"]
    ),
    lambda inner: st.one_of(
        inner.map(lambda part: f"NOT ({part})"),
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=6,
)


@given(conditions, st.sampled_from([None, 2, 3, 4]), st.sampled_from([None, "a", "c"]))
def test_moving_not_to_the_leaves_keeps_the_meaning(
    condition: str, year: int | None, lang: str | None
) -> None:
    row = {"year": year, "lang": lang}

    def leaf(part: Any, negated: bool) -> bool | str:
        assert not (negated and isinstance(part, Comparison))
        held = filter_holds(part, row)
        return "yes" if held is not None and held is not negated else "no"

    def join(word: str, parts: list[Any]) -> str:
        assert len(parts) > 1
        test = all if word == "and" else any
        return "yes" if test(part == "yes" for part in parts) else "no"

    tree = parse(condition)
    found = translate(tree, leaf, join)
    assert (found is True or found == "yes") == (filter_holds(tree, row) is True)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("year = 3", '($meta["year"] == 3)'),
        ("lang = 'a\"b\\\n'", 'lang == "a\\"b\\\\\\n"'),
        ("NOT lang IN ('a')", 'not (lang in ["a"])'),
        ("lang LIKE 'a%'", 'lang like "a%"'),
        ("fresh", "== true"),
    ],
)
def test_values_of_milvus_are_quoted(condition: str, expected: str) -> None:
    found = milvus_expression(parse(condition), ("lang",))
    assert isinstance(found, str)
    assert expected.strip("()") in found
    assert "is not null" in found or "exists $meta" in found


def test_negated_conditions_of_search_engines_ask_for_a_value() -> None:
    fields = {"lang": "lang.keyword", "_id": "_id"}
    assert search_query(parse("lang != 'a'"), fields) == {
        "bool": {
            "filter": [{"exists": {"field": "lang.keyword"}}],
            "must_not": [{"term": {"lang.keyword": {"value": "a"}}}],
        }
    }
    assert search_query(parse("lang ILIKE 'a*%_'"), fields) == {
        "wildcard": {"lang.keyword": {"value": "a\\**?", "case_insensitive": True}}
    }


def test_times_of_search_engines_are_whole() -> None:
    # A date alone would be rounded up to the end of its day by `lte`.
    found = search_query(parse("day <= date '2024-02-29'"), {"day": "day"})
    assert found == {"range": {"day": {"lte": "2024-02-29T00:00:00.000Z"}}}


def test_chroma_says_where_others_pass_too() -> None:
    assert chroma_where(parse("lang = 'a'"), FIELDS) == ({"lang": {"$eq": "a"}}, True)
    assert chroma_where(parse("lang != 'a'"), FIELDS) == ({"lang": {"$nin": ["a"]}}, False)
    assert chroma_where(parse("lang IS NULL"), FIELDS) == (True, False)
    assert chroma_where(parse("year > 3 AND lang IS NULL"), FIELDS) == (
        {"year": {"$gt": 3}},
        False,
    )


def test_qdrant_compares_numbers_by_ranges() -> None:
    # MatchValue tells 2015 from 2015.0.
    found = qdrant_filter(parse("year = 2015"), "id")
    assert found.model_dump(exclude_none=True) == {
        "should": [{"key": "year", "range": {"gte": 2015.0, "lte": 2015.0}}]
    }
    large = qdrant_filter(parse(f"year = {2**55}"), "id")
    assert large.should[0].match.value == 2**55


@pytest.mark.parametrize(
    ("function", "condition", "part"),
    [
        (lambda t: qdrant_filter(t, "id"), "lang LIKE 'a%'", "lang LIKE 'a%'"),
        (lambda t: qdrant_filter(t, "id"), "year = 1 AND lang < 'b'", "lang < 'b'"),
        (lambda t: chroma_where(t, FIELDS), "NOT (lang >= 'b')", "lang < 'b'"),
        (lambda t: chroma_where(t, FIELDS), "day > date '2024-01-01'", "day > "),
        (lambda t: milvus_expression(t, ()), "lang ILIKE 'a%'", "lang ILIKE 'a%'"),
        (lambda t: milvus_expression(t, ()), "lang LIKE 'a\\%'", "lang LIKE"),
        (lambda t: milvus_expression(t, ()), "day > date '2024-01-01'", "day > "),
        (lambda t: search_query(t, {"lang": "_id"}), "lang > 'a'", "lang > 'a'"),
    ],
)
def test_what_an_engine_lacks_is_named(function: Any, condition: str, part: str) -> None:
    with pytest.raises(FilterError, match="cannot be translated") as caught:
        function(parse(condition))
    assert part in str(caught.value.where)


def test_constants_need_no_condition() -> None:
    assert qdrant_filter(parse("true"), "id") is True
    assert search_query(parse("year = 1 AND false"), {"year": "year"}) is False
    assert isinstance(parse("lang IS NULL"), IsNull)
