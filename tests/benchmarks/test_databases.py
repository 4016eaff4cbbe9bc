"""The table of databases: rows that are kept, rows that are missing, the page."""

from __future__ import annotations

from pathlib import Path

import databases
import pytest
from databases import BEGIN, END, Meter, Results, Row


def make_row(engine: str, mode: str, first: float = 0.5, second: float | None = 0.7) -> Row:
    return Row("scifact", engine, mode, 100, f"{engine} 1", first, second, 12.34)


def test_rows_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "CACHE", tmp_path)
    results = Results(fresh=False)
    results.add(make_row("sqlite", "bm25", second=None))
    results.add(make_row("duckdb", "bm25"))
    again = Results(fresh=False)
    key = ("scifact", "sqlite", "bm25", 100)
    assert again.find(*key, second=True) is None
    assert again.find(*key, second=False) == make_row("sqlite", "bm25", second=None)
    assert again.find("scifact", "sqlite", "bm25", 300, second=False) is None
    again.add(make_row("sqlite", "bm25"))
    assert len(Results(fresh=False).rows) == 2
    assert Results(fresh=False).find(*key, second=True) == make_row("sqlite", "bm25")
    assert Results(fresh=True).rows == []


def test_tables_have_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        make_row("sqlite", "bm25", 0.6),
        make_row("sqlite", "hybrid"),
        make_row("duckdb", "bm25", 0.65),
        make_row("postgresql", "bm25", 0.3),
    ]
    text = databases.render(rows, databases.MODES)
    assert "scifact, 100 questions:" in text
    assert (
        "| sqlite 1 | 0.600 | 0.700 | +0.100 | 12.3 | 0.500 | 0.700 | +0.200 | 12.3 |" in text
    )
    assert "| duckdb 1 | 0.650 | 0.700 | +0.050 | 12.3 | - | - | - | - |" in text
    assert "the second pass adds +0.400 to PostgreSQL, +0.050 to +0.100 elsewhere" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    monkeypatch.setattr(databases, "PAGE", page)
    monkeypatch.setattr(databases, "ROOT", tmp_path)
    for _ in range(2):
        databases.write(text)
        assert page.read_text("utf-8") == f"before\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"


def test_the_page_has_the_marks() -> None:
    page = databases.PAGE.read_text("utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page.index(BEGIN) < page.index(END)


def test_the_time_may_be_over() -> None:
    assert not Meter(None).over
    assert not Meter(1.0).over
    assert Meter(-1.0).over
