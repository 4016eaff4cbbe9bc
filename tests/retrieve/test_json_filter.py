"""JSON filters: conditions select the same rows in SQL and in Python."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.json_filter import (
    OPERATORS,
    Condition,
    Operator,
    Value,
    matches,
    parse_operator,
    split_operators,
    to_sql,
)
from secondpass.retrieve.store_protocol import Passage

NOON = datetime(2024, 1, 2, 12)
ROWS: dict[str, dict[str, Value]] = {
    "a": {"lang": "en", "year": 2010, "order": True, "day": date(2020, 1, 2), "share": 0.0},
    "b": {"lang": "it's", "year": -3, "order": False, "at": NOON, "share": -0.5},
    "c": {"lang": "", "day": date(1969, 12, 31), "at": NOON + timedelta(hours=1)},
    "d": {"lang": 'o"neil\\ ; -- %_', "year": 0, "share": 1e300},
    "e": {},
}
COLUMNS = ("lang", "year", "order", "day", "at", "share")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanceStore]:
    opened = open_index(tmp_path_factory.mktemp("index") / "i")
    opened.upsert([Passage(name, "text", metadata=row) for name, row in ROWS.items()])
    yield opened
    opened.close()


def select(store: LanceStore, conditions: list[Condition]) -> str:
    """Return the rows that conditions match, after checking that SQL and Python agree."""
    sql = to_sql(conditions, store.fields)
    by_sql = {d.id for batch in store.iter_documents(filter=sql) for d in batch}
    by_python = {name for name, row in ROWS.items() if matches(conditions, row)}
    assert by_sql == by_python, sql
    return "".join(sorted(by_python))


@pytest.mark.parametrize(
    ("column", "operator", "values", "expected"),
    [
        ("lang", "eq", ["it's"], "b"),
        ("lang", "eq", [None], "e"),
        ("lang", "ne", ["en"], "bcde"),
        ("lang", "ne", [None], "abcd"),
        ("lang", "nin", ["en", None], "bcd"),
        ("lang", "in", [], ""),
        ("lang", "nin", [], "abcde"),
        ("lang", "gte", ["en"], "abd"),
        ("year", "gt", [-3], "ad"),
        ("year", "lte", [0], "bd"),
        ("year", "in", [0, None], "cde"),
        ("order", "eq", [False], "b"),
        ("order", "ne", [True], "bcde"),
        ("day", "lt", [date(2020, 1, 2)], "c"),
        ("day", "in", [date(2020, 1, 2)], "a"),
        ("at", "gt", [NOON], "c"),
        ("at", "eq", [NOON.replace(tzinfo=UTC)], "b"),
        ("at", "lte", [datetime(2024, 1, 2, 13, tzinfo=timezone(timedelta(hours=1)))], "b"),
        ("share", "lt", [0.0], "b"),
        ("no_column", "eq", ["x"], ""),
        ("no_column", "eq", [None], "abcde"),
        ("no_column", "ne", ["x"], "abcde"),
        ("no_column", "gt", [1], ""),
    ],
)
def test_each_operator(
    store: LanceStore, column: str, operator: Operator, values: list[Any], expected: str
) -> None:
    assert select(store, [Condition(column, operator, tuple(values))]) == expected


def test_all_conditions_must_match(store: LanceStore) -> None:
    both = [Condition("year", "gte", (0,)), Condition("lang", "ne", ("en",))]
    assert select(store, both) == "d"
    assert select(store, []) == "abcde"
    assert to_sql([], COLUMNS) is None


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["en", "it's", "'", "''", '"', "`", ";", "--", "\\", "\x00", "null"]
)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "lang": _texts,
    "year": st.integers(-(10**12), 10**12) | st.sampled_from([-3, 0, 2010]),
    "order": st.booleans(),
    "day": st.dates(date(1900, 1, 1), date(2100, 1, 1)) | st.just(date(2020, 1, 2)),
    "at": st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)) | st.just(NOON),
    "share": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.5, 1e300]),
    "no_column": _texts,
}


@st.composite
def _conditions(draw: st.DrawFn) -> Condition:
    column = draw(st.sampled_from(list(_VALUES)))
    operators = [o for o in OPERATORS if column != "order" or o in ("eq", "ne", "in", "nin")]
    operator = draw(st.sampled_from(operators))
    values = _VALUES[column]
    if operator in ("in", "nin"):
        return Condition(
            column, operator, tuple(draw(st.lists(st.none() | values, max_size=3)))
        )
    nullable = st.none() | values if operator in ("eq", "ne") else values
    return Condition(column, operator, (draw(nullable),))


@settings(max_examples=200)
@given(conditions=st.lists(_conditions(), max_size=4))
def test_sql_and_python_agree(store: LanceStore, conditions: list[Condition]) -> None:
    select(store, conditions)


def test_a_plain_value_means_equality() -> None:
    assert split_operators("en") == [("$eq", "en")]
    assert split_operators(None) == [("$eq", None)]
    assert split_operators({"$gt": 1, "$lt": 3}) == [("$gt", 1), ("$lt", 3)]


@pytest.mark.parametrize("key", ["eq", "$like", "$", "", "$$eq", "$EQ"])
def test_unknown_operators(key: str) -> None:
    assert parse_operator(key) is None


def test_operators_can_be_restricted() -> None:
    assert [parse_operator(f"${operator}") for operator in OPERATORS] == list(OPERATORS)
    assert parse_operator("$in", ("eq", "ne")) is None
