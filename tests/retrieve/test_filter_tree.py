"""The filter language: what it accepts, what it means, what it says of mistakes."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import FilterError
from secondpass.retrieve.filter_tree import (
    All,
    Comparison,
    Constant,
    IsNull,
    Like,
    Not,
    OneOf,
    filter_holds,
    like_pattern,
    parse_filter,
)

FIELDS = {
    "year": "integer",
    "lang": "text",
    "fresh": "boolean",
    "day": "date",
    "at": "datetime",
    "price": "number",
    "Publish Date": "text",
    "date": "date",
}


@pytest.mark.parametrize(
    ("condition", "tree"),
    [
        ("year = 3", Comparison("year", "=", 3)),
        ("3 < year", Comparison("year", ">", 3)),
        ("YEAR <> -3", Comparison("year", "!=", -3)),
        ("price >= 1e3", Comparison("price", ">=", 1000.0)),
        ("year in (1, 2)", OneOf("year", (1, 2))),
        ("year NOT IN (1)", Not(OneOf("year", (1,)))),
        (
            "year between 1 and 2",
            All((Comparison("year", ">=", 1), Comparison("year", "<=", 2))),
        ),
        ("lang IS NULL", IsNull("lang")),
        ("lang IS NOT NULL", Not(IsNull("lang"))),
        ("lang like 'a%'", Like("lang", "a%")),
        ("lang ILIKE 'a%'", Like("lang", "a%", True)),
        ("fresh", Comparison("fresh", "=", True)),
        ("NOT fresh", Not(Comparison("fresh", "=", True))),
        ("true", Constant(True)),
        ("\"Publish Date\" = 'x''y'", Comparison("Publish Date", "=", "x'y")),
        ("day = date '2024-02-29'", Comparison("day", "=", date(2024, 2, 29))),
        ("date = date '2024-02-29'", Comparison("date", "=", date(2024, 2, 29))),
        (
            "at > timestamp '2024-01-01 01:00:00+01:00'",
            Comparison("at", ">", datetime(2024, 1, 1)),
        ),
        ("at > date '2024-01-01'", Comparison("at", ">", datetime(2024, 1, 1))),
    ],
)
def test_conditions(condition: str, tree: Any) -> None:
    assert parse_filter(condition, FIELDS) == tree


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("yaer = 3", "Did you mean 'year'"),
        ("year = 'x'", "write numbers without quotes"),
        ("lang = 3", "write text in single quotes"),
        ('lang = "en"', "is a field; write text in single quotes"),
        ("day = '2024-01-01'", "date '2024-12-31'"),
        ("year = NULL", "IS NULL"),
        ("year = 3 AND", "ends where a condition must follow"),
        ("year = 3 year", "at character 10"),
        ("day = date '2024-13-01'", "is not a date"),
        ("(" * 100 + "year = 3", "nested more than 64 deep"),
    ],
)
def test_mistakes_are_named(condition: str, said: str) -> None:
    with pytest.raises(FilterError, match=re.escape(said)):
        parse_filter(condition, FIELDS)


def test_and_binds_tighter_than_or() -> None:
    tree = parse_filter("fresh OR year = 1 AND year = 2", FIELDS)
    assert tree is not None
    assert filter_holds(tree, {"fresh": True, "year": 3})


def test_unknown_is_neither_true_nor_false() -> None:
    tree = parse_filter("NOT (year = 3)", FIELDS)
    assert tree is not None
    assert filter_holds(tree, {"year": None}) is None
    tree = parse_filter("year = 3 OR fresh", FIELDS)
    assert tree is not None
    assert filter_holds(tree, {"year": None, "fresh": True}) is True


@given(st.text(max_size=200))
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    try:
        tree = parse_filter(text, FIELDS)
    except FilterError:
        return
    assert tree is not None


@given(st.text("ab%_\\", max_size=8), st.text("ab%_\\", max_size=8))
def test_escaped_text_is_like_itself_alone(text: str, other: str) -> None:
    escaped = "".join("\\" + c if c in "%_\\" else c for c in text)
    pattern = like_pattern(escaped)
    assert pattern.fullmatch(text)
    assert bool(pattern.fullmatch(other)) == (text == other)
