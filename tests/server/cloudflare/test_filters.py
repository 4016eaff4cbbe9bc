"""Metadata fields and the filters that name them, in both syntaxes of the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.json_filter import matches, to_sql
from secondpass.retrieve.store_protocol import Passage
from secondpass.server.cloudflare.autorag import parse_typed_filter
from secondpass.server.cloudflare.filters import (
    Field,
    filterable_fields,
    folder_of,
    index_columns,
    parse_filter,
    to_column_value,
)
from secondpass.server.cloudflare.schemas import CustomField
from secondpass.server.http_errors import HttpError

CUSTOM: list[CustomField] = [
    {"field_name": "Lang", "data_type": "text"},
    {"field_name": "page-count", "data_type": "number"},
    {"field_name": "draft", "data_type": "boolean"},
    {"field_name": "größe 'x'; --", "data_type": "number"},
    {"field_name": "due", "data_type": "datetime"},
]
FIELDS = filterable_fields(CUSTOM)
ROWS: list[tuple[str, int, dict[str, Any]]] = [
    ("a.md", 1_735_689_600_123, {"lang": "en", "page-count": 3, "draft": True}),
    ("docs/b.md", 1_735_689_601_000, {"Lang": "de", "page-count": -2.5, "due": "2026-01-31"}),
    ("docs/sub/c.md", 1_800_000_000_000, {"lang": 'o\'neil "x" ; -- %_\\', "draft": "no"}),
    ("docs0/d.md", 0, {"lang": "", "größe 'x'; --": "1e3", "due": 1_767_139_200}),
    ("日本/e.md", 5, {"lang": "日本", "page-count": "7"}),
]
COLUMNS = [index_columns(FIELDS, key, moment, given) for key, moment, given in ROWS]
NAMES = [key for key, _, _ in ROWS]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanceStore]:
    found = open_index(tmp_path_factory.mktemp("index") / "i")
    found.upsert(
        [Passage(key, "text", metadata=row) for key, row in zip(NAMES, COLUMNS, strict=True)]
    )
    yield found
    found.close()


def select(store: LanceStore, filters: Any, *, typed: bool = False) -> list[str]:
    """Return the rows that match, after checking that SQL and Python agree."""
    conditions = (parse_typed_filter if typed else parse_filter)(filters, FIELDS)
    condition = to_sql(conditions, store.fields)
    by_sql = sorted(
        d.id or "" for batch in store.iter_documents(filter=condition) for d in batch
    )
    by_python = [k for k, row in zip(NAMES, COLUMNS, strict=True) if matches(conditions, row)]
    assert by_sql == sorted(by_python), condition
    return by_python


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, NAMES),
        ({"folder": "docs/"}, ["docs/b.md"]),
        ({"folder": ""}, ["a.md"]),
        ({"folder": {"$gte": "docs/", "$lt": "docs0"}}, ["docs/b.md", "docs/sub/c.md"]),
        ({"FOLDER": {"$in": ["docs/", "docs0/"]}}, ["docs/b.md", "docs0/d.md"]),
        ({"filename": "a.md"}, ["a.md"]),
        ({"timestamp": {"$gte": 1_735_689_601_999}}, ["docs/b.md", "docs/sub/c.md"]),
        ({"timestamp": 1_735_689_600_999}, ["a.md"]),
        ({"timestamp": {"$gt": 1_735_689_600}}, ["docs/b.md", "docs/sub/c.md"]),
        ({"timestamp": {"$gt": "2025-01-01T00:00:00Z"}}, ["docs/b.md", "docs/sub/c.md"]),
        ({"lang": 'o\'neil "x" ; -- %_\\'}, ["docs/sub/c.md"]),
        ({"lang": {"$eq": ""}}, ["docs0/d.md"]),
        ({"lang": {"$ne": "en", "$nin": ["de", "日本"]}}, ["docs/sub/c.md", "docs0/d.md"]),
        ({"draft": True}, ["a.md"]),
        ({"draft": {"$ne": True}}, NAMES[1:]),
        ({"draft": None}, ["docs/b.md", "docs0/d.md", "日本/e.md"]),
        ({"draft": {"$ne": None}}, ["a.md", "docs/sub/c.md"]),
        ({"page-count": {"$lt": 3}}, ["docs/b.md"]),
        ({"page-count": {"$lte": 3, "$gt": -2.5}}, ["a.md"]),
        ({"page-count": {"$in": []}}, []),
        ({"page-count": {"$nin": []}}, NAMES),
        ({"page-count": {"$in": [None, 7]}}, ["docs/sub/c.md", "docs0/d.md", "日本/e.md"]),
        ({"größe 'x'; --": 1000}, ["docs0/d.md"]),
        ({"due": {"$lte": "2026-01-31T00:00:00+00:00"}}, ["docs/b.md", "docs0/d.md"]),
    ],
)
def test_filters(store: LanceStore, filters: Any, expected: list[str]) -> None:
    assert select(store, filters) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "folder", "value": "docs/"}, ["docs/b.md"]),
        ({"type": "gt", "key": "timestamp", "value": "1735689600999"},
         ["docs/b.md", "docs/sub/c.md"]),
        ({"type": "and", "filters": [{"type": "gt", "key": "folder", "value": "docs//"},
                                     {"type": "lte", "key": "folder", "value": "docs/z"}]},
         ["docs/sub/c.md"]),
        ({"type": "or", "filters": [{"type": "eq", "key": "lang", "value": "en"},
                                    {"type": "eq", "key": "LANG", "value": "de"}]},
         ["a.md", "docs/b.md"]),
    ],
)  # fmt: skip
def test_typed_filters(store: LanceStore, filters: Any, expected: list[str]) -> None:
    assert select(store, filters, typed=True) == expected


OPERATORS = ["$eq", "$ne", "$in", "$nin", "$lt", "$gte"]
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["en", "de", "o'neil", "'", "''", '"', ";", "--", "docs/", "\\", "\x00", "null"]
)
_values = {
    "text": _texts,
    "number": st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "datetime": st.integers(-(10**12), 10**13),
    "timestamp": st.integers(-(10**12), 10**13),
}


@st.composite
def _filters(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(list(FIELDS)), max_size=3, unique=True)):
        values = st.none() | _values[FIELDS[name].type]
        operators = draw(st.lists(st.sampled_from(OPERATORS), min_size=1))
        conditions: dict[str, Any] = {}
        for operator in operators:
            if operator in ("$in", "$nin"):
                conditions[operator] = draw(st.lists(values, max_size=3))
            elif operator in ("$eq", "$ne"):
                conditions[operator] = draw(values)
            elif FIELDS[name].type != "boolean":
                conditions[operator] = draw(_values[FIELDS[name].type])
        if conditions:
            found[name] = conditions
    return found


@settings(max_examples=150)
@given(filters=_filters())
def test_sql_and_python_agree(store: LanceStore, filters: dict[str, Any]) -> None:
    select(store, filters)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_named = st.dictionaries(
    st.sampled_from([*FIELDS, "no"]),
    _json | st.dictionaries(st.sampled_from(["$eq", "$in", "$gt", "$no", "eq"]), _json),
)


@settings(max_examples=300)
@given(filters=_json | _named)
def test_any_json_is_a_filter_or_refused(store: LanceStore, filters: Any) -> None:
    for typed in (False, True):
        with suppress(HttpError):
            select(store, filters, typed=typed)


@pytest.mark.parametrize(
    "filters",
    [
        [], "x", {"no": 1}, {"folder": {}}, {"folder": {"$like": "x"}}, {"folder": {"eq": 1}},
        {"folder": {"$in": "docs/"}}, {"folder": 3}, {"page-count": "many"}, {"draft": "maybe"},
        {"draft": {"$gt": False}}, {"lang": {"$lt": None}}, {"timestamp": [1]}, {"due": "soon"},
        {"page-count": float("nan")}, {"lang": {"$in": ["x"] * 1001}}, {"$or": []},
        {"timestamp": 10**400}, {"folder": {"$gt": {"a": 1}}},
    ],
)  # fmt: skip
def test_invalid_filters(filters: Any) -> None:
    with pytest.raises(HttpError) as caught:
        parse_filter(filters, FIELDS)
    assert caught.value.status == 400
    assert "filter" in caught.value.message or "field" in caught.value.message


@pytest.mark.parametrize(
    "filters",
    [
        None, [], {}, {"type": "eq"}, {"type": "eq", "key": "folder"},
        {"type": "in", "key": "folder", "value": []}, {"type": "eq", "key": 1, "value": 1},
        {"type": "and"}, {"type": "and", "filters": []}, {"type": "or", "filters": [3]},
        {"type": "and", "filters": [{"type": "or", "filters": []}]},
        {"type": "or", "filters": [{"type": "gt", "key": "folder", "value": "a"}]},
        {"type": "or", "filters": [{"type": "eq", "key": "folder", "value": "a"},
                                   {"type": "eq", "key": "filename", "value": "a"}]},
    ],
)  # fmt: skip
def test_invalid_typed_filters(filters: Any) -> None:
    with pytest.raises(HttpError):
        parse_typed_filter(filters, FIELDS)


def test_a_column_keeps_its_type_when_a_field_changes_its_own() -> None:
    one = filterable_fields([{"field_name": "v", "data_type": "text"}])["v"]
    other = filterable_fields([{"field_name": "v", "data_type": "number"}])["v"]
    assert one.column != other.column
    names = {f.column for f in FIELDS.values()}
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)
    assert len(names) == len(FIELDS)


@pytest.mark.parametrize(
    ("field_type", "value", "expected"),
    [
        ("text", "x" * 501, "x" * 500), ("text", 3, None), ("text", "", ""),
        ("number", 0, 0.0), ("number", "-1.5e2", -150.0), ("number", True, None),
        ("number", "1_000", None), ("number", "inf", None), ("number", "٣", None),
        ("boolean", False, False), ("boolean", "YES", True), ("boolean", 0, False),
        ("boolean", 2, None), ("boolean", 0.0, None), ("boolean", "", None),
        ("datetime", "2026-01-31T12:00:00Z", 1_769_860_800_000), ("datetime", "x", None),
        ("datetime", 1_769_860_800, 1_769_860_800_000), ("datetime", 10**17, None),
        ("timestamp", 1_769_860_800_999, 1_769_860_800), ("timestamp", 0, 0),
    ],
)  # fmt: skip
def test_column_values(field_type: Any, value: Any, expected: Any) -> None:
    found = to_column_value(field_type, value)
    assert found == expected
    assert type(found) is type(expected)


@given(st.text(max_size=40))
def test_folders(key: str) -> None:
    folder = folder_of(key)
    assert key.startswith(folder)
    assert "/" not in key[len(folder) :]
    assert folder == "" or folder.endswith("/")


def test_fields_are_found_without_regard_to_case() -> None:
    assert FIELDS["lang"] == Field("lang", "text", "text_lang")
    assert index_columns(FIELDS, "a", 0, {"LANG": "x"})["text_lang"] == "x"
