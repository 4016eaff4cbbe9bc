"""Filters by metadata, for sources that are not asked which documents pass."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from secondpass import Document, FilterError, Search
from secondpass.index.capabilities import match_metadata

FIELDS = {
    "year": "integer",
    "price": "number",
    "shelf": "text",
    "new": "boolean",
    "day": "date",
    "moment": "datetime",
    "id": "integer",
}
DOCUMENT = Document(
    "a text",
    id="7",
    metadata={
        "year": 2001,
        "price": 2.5,
        "shelf": "sea",
        "new": 1,
        "day": "2024-05-01",
        "moment": datetime(2024, 5, 1, 12, tzinfo=UTC),
    },
)


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("year = 2001", True),
        ("year > 2001", False),
        ("price BETWEEN 2 AND 3", True),
        ("shelf IN ('sea', 'land') AND NOT year = 3", True),
        ("shelf LIKE 's%'", True),
        ("new = true", True),
        ("day >= date '2024-05-01'", True),
        ("day < date '2024-05-01'", False),
        ("moment > timestamp '2024-05-01 11:00:00'", True),
        ("id = 7", True),
        ("id = 8", False),
    ],
)
def test_fields_of_every_kind(condition: str, passes: bool) -> None:
    found = match_metadata(condition, [DOCUMENT], fields=FIELDS, roles={"id": "id"})
    assert found == [passes]


def test_a_missing_value_passes_no_comparison() -> None:
    documents = [Document("a"), Document("b", metadata={"year": None, "day": "soon"})]
    for condition in ("year = 1", "year != 1", "day < date '2024-05-01'"):
        assert match_metadata(condition, documents, fields=FIELDS) == [False, False]
    assert match_metadata("year IS NULL", documents, fields=FIELDS) == [True, True]


def test_fields_are_those_of_the_documents_where_the_source_names_none() -> None:
    values: dict[str, Any] = {"a": True, "b": 1, "c": "x", "d": date(2024, 5, 1), "e": [1]}
    documents = [Document("t", metadata=values), Document("u")]
    condition = "a = true AND b = 1 AND c = 'x' AND d = date '2024-05-01'"
    assert match_metadata(condition, documents, fields={}) == [True, False]
    with pytest.raises(FilterError, match="e"):
        match_metadata("e = 1", documents, fields={})
    assert match_metadata("unknown = 1", [], fields={}) == []


def test_the_columns_of_ids_and_parents_are_known(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "d.db") as database:
        database.execute("CREATE TABLE docs (number INTEGER PRIMARY KEY, page TEXT, body TEXT)")
        rows = [(1, "tea", "green tea"), (2, "tea", "black tea"), (3, "bread", "no tea")]
        database.executemany("INSERT INTO docs VALUES (?, ?, ?)", rows)
        database.execute("CREATE VIRTUAL TABLE docs_fts USING fts5(body, content=docs)")
        database.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")
    database.close()
    url = f"sqlite:///{tmp_path / 'd.db'}?table=docs&id=number&text=body&parent=page"
    with Search(url, "bundled-tiny") as search:
        found = [r.document for r in search.search("tea", rerank=False).results if r.document]
        by_number = search.matching("number >= 2", found)
        by_page = search.matching("page = 'tea'", found)
    assert {d.text for d, passed in zip(found, by_number, strict=True) if passed} == {
        *("black tea", "no tea")
    }
    assert {d.text for d, passed in zip(found, by_page, strict=True) if passed} == {
        *("black tea", "green tea")
    }
