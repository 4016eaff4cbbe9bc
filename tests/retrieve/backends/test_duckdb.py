"""DuckDB beyond the contract: indexes that are missing or old, other columns."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from secondpass.errors import InputError, RetrieverError
from secondpass.retrieve.backends.database_url import file_url, parse_url
from secondpass.retrieve.backends.duckdb_file import DuckDBFile, load_fts
from secondpass.retrieve.backends.registry import open_retriever
from tests.retrieve.hashed_embedder import HashedEmbedder

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("duckdb_extension_fts")


def make(tmp_path: Path, *statements: str) -> Path:
    file = tmp_path / "a.duckdb"
    with duckdb.connect(str(file)) as connection:
        load_fts(connection)
        for statement in statements:
            connection.execute(statement)
    return file


def opened(file: Path, **parameters: str) -> Any:
    url = file_url("duckdb", file, table="docs", **parameters)
    return closing(open_retriever(url, embedder=HashedEmbedder()))


TABLE = "CREATE TABLE docs (id INTEGER PRIMARY KEY, body VARCHAR)"
ROWS = "INSERT INTO docs VALUES (1, 'the cats are sleeping'), (2, 'a dog')"


def test_without_an_index_the_error_has_the_statement_that_makes_one(tmp_path: Path) -> None:
    file = make(tmp_path, TABLE, ROWS)
    with pytest.raises(InputError, match="create_fts_index") as caught, opened(file):
        pass
    statement = str(caught.value).partition("make: ")[2]
    make(tmp_path, statement)
    with opened(file) as retriever:
        assert [c.document.id for c in retriever.retrieve("sleep cat", 5)] == ["1"]


def test_an_index_that_is_older_than_the_rows_is_said(tmp_path: Path) -> None:
    index = "PRAGMA create_fts_index('docs', 'id', 'body')"
    file = make(tmp_path, TABLE, ROWS, index, "INSERT INTO docs VALUES (3, 'cat')")
    with opened(file) as retriever:
        note = retriever.describe().note
    assert note is not None
    assert "has 2 of 3 rows" in note


def test_lists_of_any_length_are_vectors_too(tmp_path: Path) -> None:
    texts = ["the cat", "a dog", "fish"]
    vectors = HashedEmbedder().encode(texts)
    rows = ", ".join(
        f"({n}, '{text}', {vector.tolist()})"
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    )
    file = make(
        tmp_path,
        "CREATE TABLE docs (id INTEGER, body VARCHAR, embedding FLOAT[])",
        f"INSERT INTO docs VALUES {rows}, (3, 'short', [1.0, 2.0]), (4, 'none', NULL)",
    )
    with pytest.raises(InputError, match="2 dimensions"), opened(file):
        pass
    make(tmp_path, "DELETE FROM docs WHERE id = 3")
    with opened(file) as retriever:
        assert retriever.modes == ("vector",)
        found = retriever.retrieve("a dog", 5)
    assert found[0].document.id == "1"
    assert found[0].vector == pytest.approx(1, abs=1e-4)
    assert len(found) == 3


def test_times_with_a_zone_are_in_utc(tmp_path: Path) -> None:
    file = make(
        tmp_path,
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, body VARCHAR, moment TIMESTAMPTZ, u UUID)",
        "INSERT INTO docs VALUES (1, 'cat', '2024-01-01 12:00:00+02', "
        "'12345678-1234-5678-1234-567812345678'), (2, 'cat', NULL, NULL)",
        "PRAGMA create_fts_index('docs', 'id', 'body')",
    )
    with opened(file) as retriever:
        for condition in (
            "moment = timestamp '2024-01-01 10:00:00'",
            "u = '12345678-1234-5678-1234-567812345678'",
        ):
            found = retriever.retrieve("cat", 5, condition)
            assert [c.document.id for c in found] == ["1"]
        assert found[0].document.metadata["moment"] == datetime(2024, 1, 1, 10)


def test_a_query_ends_after_the_time_out_and_nothing_is_written(tmp_path: Path) -> None:
    file = make(tmp_path, TABLE, ROWS)
    reader = DuckDBFile(parse_url(file_url("duckdb", file, timeout="0.2")))
    with pytest.raises(RetrieverError, match="took too long"):
        reader.run("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a > b")
    with pytest.raises(RetrieverError, match="read-only"):
        reader.run("DELETE FROM docs")
    reader.close()
    with pytest.raises(RetrieverError, match="is not there"):
        DuckDBFile(parse_url("duckdb:////nowhere/at/all.duckdb"))
