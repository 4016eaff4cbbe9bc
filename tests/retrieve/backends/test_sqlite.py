"""SQLite beyond the contract: other shapes of tables, files, time-outs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from secondpass import Search
from secondpass.errors import FilterError, InputError, RetrieverError
from secondpass.retrieve.backends.database_url import file_url
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.backends.sqlite_vec import is_part, vector_tables
from tests.contract.retrievers.databases import SQLiteVecDatabase, check_sqlite_vec
from tests.retrieve.hashed_embedder import HashedEmbedder


def make(tmp_path: Path, script: str) -> Path:
    file = tmp_path / "a.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    return file


def find(file: Path, query: str, condition: str | None = None, **parameters: str) -> list[Any]:
    url = file_url("sqlite", file, **parameters)
    with closing(open_retriever(url, embedder=HashedEmbedder())) as retriever:
        return retriever.retrieve(query, 10, condition)


def test_a_table_that_is_fts5_itself(tmp_path: Path) -> None:
    file = make(
        tmp_path,
        "CREATE VIRTUAL TABLE pages USING fts5(id UNINDEXED, title, body, year UNINDEXED);"
        "INSERT INTO pages VALUES ('x', 'Cats', 'the cat sleeps', 2001);"
        "INSERT INTO pages VALUES ('y', 'A', 'cat', 1999)",
    )
    found = find(file, "cats sleep", "year > 2000")
    assert [(c.document.id, c.document.title) for c in found] == [("x", "Cats")]


def test_an_fts5_table_beside_the_table_is_named(tmp_path: Path) -> None:
    file = make(
        tmp_path,
        "CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT);"
        "CREATE VIRTUAL TABLE words USING fts5(body);"
        "INSERT INTO notes VALUES ('n1', 'the cat'), ('n2', 'a dog');"
        "INSERT INTO words (rowid, body) SELECT rowid, body FROM notes",
    )
    with pytest.raises(InputError, match="CREATE VIRTUAL TABLE") as caught:
        find(file, "cat", table="notes")
    assert "rebuild" in str(caught.value)
    assert [c.document.id for c in find(file, "cat", table="notes", fts="words")] == ["n1"]
    with pytest.raises(InputError, match="no FTS5 table 'wrods'"):
        find(file, "cat", table="notes", fts="wrods")


def test_vectors_alone_are_searched_where_there_are_no_words(tmp_path: Path) -> None:
    file = make(tmp_path, "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, v BLOB)")
    texts = ["the cat", "a dog", "some fish"]
    with closing(sqlite3.connect(file)) as connection, connection:
        rows = zip(texts, HashedEmbedder().encode(texts), strict=True)
        for text, vector in rows:
            connection.execute(
                "INSERT INTO notes (body, v) VALUES (?, ?)", [text, vector.tobytes()]
            )
        # One that is damaged is passed over.
        connection.execute("INSERT INTO notes (body, v) VALUES ('bad', x'00')")
    found = find(file, "a dog")
    assert found[0].document.text == "a dog"
    assert found[0].vector == pytest.approx(1)
    assert {c.bm25 for c in found} == {None}
    with closing(Search(file_url("sqlite", file), embedder=HashedEmbedder())) as search:
        reason = search.search("a dog", rerank=False, query_variants=["fish"]).reason
    assert reason is not None
    assert reason.count("left out by vector search: 1 row whose vector has not 16 numbers") == 1
    assert "has no FTS5 table" in reason


def test_vectors_of_another_model_are_left_alone_and_said(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, embedding BLOB);"
        "CREATE VIRTUAL TABLE notes_fts USING fts5(body, content='notes');"
    )
    file = make(tmp_path, script)
    with closing(sqlite3.connect(file)) as connection, connection:
        for text, other in (("the cat", "x"), ("a dog", "y"), ("fish", "z")):
            vector = HashedEmbedder().encode([other])[0]
            connection.execute(
                "INSERT INTO notes (body, embedding) VALUES (?, ?)", [text, vector.tobytes()]
            )
        connection.execute("INSERT INTO notes_fts (notes_fts) VALUES ('rebuild')")
    for embedder, said in (
        (HashedEmbedder(), "are not those of the embedder 'hashed'"),
        (HashedEmbedder(24), "have 16 dimensions, and the embedder 'hashed' makes 24"),
    ):
        with closing(
            open_retriever(file_url("sqlite", file, table="notes"), embedder=embedder)
        ) as retriever:
            info = retriever.describe()
            assert info.modes == ("bm25",)
            assert info.note is not None
            assert said in info.note
            assert [c.document.id for c in retriever.retrieve("cat", 3)] == ["1"]


def test_dates_and_times_are_compared_in_any_form(tmp_path: Path) -> None:
    file = make(
        tmp_path,
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT, at TIMESTAMP);"
        "CREATE VIRTUAL TABLE docs_fts USING fts5(body, content='docs');"
        "INSERT INTO docs (body, at) VALUES ('cat', '2024-01-01T12:00:00Z'),"
        "('cat', '2024-01-01 13:00:00'), ('cat', '2024-01-02T00:30:00+02:00'), ('cat', 'soon');"
        "INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')",
    )
    found = find(file, "cat", "at > timestamp '2024-01-01 12:30:00'", table="docs")
    assert sorted(c.document.id or "" for c in found) == ["2", "3"]


def test_what_sqlite_cannot_do_is_a_filter_error(tmp_path: Path) -> None:
    file = make(
        tmp_path,
        "CREATE VIRTUAL TABLE docs USING fts5(id UNINDEXED, body, lang UNINDEXED);"
        "INSERT INTO docs VALUES ('a', 'cat', 'en')",
    )
    with pytest.raises(FilterError, match="ASCII letters only"):
        find(file, "cat", "lang ILIKE 'E%'")


def test_html_and_json_are_read_as_text(tmp_path: Path) -> None:
    file = make(
        tmp_path,
        "CREATE VIRTUAL TABLE docs USING fts5(id UNINDEXED, body);"
        "INSERT INTO docs VALUES ('h', '<p>the <b>cat</b></p><script>x()</script>')",
    )
    assert find(file, "cat", format="html")[0].document.text == "the cat"
    file.unlink()
    file = make(
        tmp_path,
        "CREATE VIRTUAL TABLE docs USING fts5(id UNINDEXED, body);"
        """INSERT INTO docs VALUES ('j', '{"name": "cat", "of": ["a", 1], "none": null}')""",
    )
    assert find(file, "cat", format="json")[0].document.text == "name: cat\nof: a\n1"


def test_json_that_is_nested_too_deep_is_read_as_it_is(tmp_path: Path) -> None:
    file = make(tmp_path, "CREATE VIRTUAL TABLE docs USING fts5(id UNINDEXED, body)")
    deep = "[" * 5000 + '"cat"' + "]" * 5000
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO docs VALUES ('a', ?)", [deep])
    assert find(file, "cat", format="json")[0].document.text == deep


def test_a_file_that_is_missing_or_no_database(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="No such file"):
        find(tmp_path / "none.db", "cat")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("this is no database" * 100, encoding="utf-8")
    with pytest.raises(RetrieverError, match="not a database"):
        find(tmp_path / "text.db", "cat")
    with pytest.raises(InputError, match="no table"):
        find(make(tmp_path, "SELECT 1"), "cat")


def test_a_query_ends_after_the_time_out(tmp_path: Path) -> None:
    from secondpass.retrieve.backends.database_url import parse_url
    from secondpass.retrieve.backends.sqlite_connections import SQLiteConnections

    file = make(tmp_path, "CREATE TABLE a (b)")
    connections = SQLiteConnections(parse_url(file_url("sqlite", file, timeout="0.05")))
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    )
    with pytest.raises(RetrieverError, match="took too long") as caught:
        connections.run(endless)
    assert caught.value.timeout
    assert connections.run("SELECT 1") == [(1,)]
    with pytest.raises(RetrieverError, match="readonly"):
        connections.run("INSERT INTO a VALUES (1)")
    connections.close()
    with pytest.raises(RetrieverError, match="was closed"):
        connections.run("SELECT 1")


def test_vec0_tables_are_read_from_the_schema() -> None:
    tables = vector_tables(
        [
            ("a", 'CREATE VIRTUAL TABLE a USING vec0(id text primary key, "v w" FLOAT [8])'),
            (
                "b",
                "create virtual table b using  vec0(\n v float[4] distance_metric=L1, n int)",
            ),
            ("bits", "CREATE VIRTUAL TABLE bits USING vec0(v bit[8], w int8[8])"),
            ("view", None),
            ("plain", "CREATE TABLE plain (a float, vec0 text)"),
        ]
    )
    assert {n: (t.column, t.dimension, t.ordered) for n, t in tables.items()} == {
        "a": ("v w", 8, True),
        "b": ("v", 4, False),
    }
    parts = ("_rowids", "_info", "_chunks", "_vector_chunks00", "_metadatatext12")
    assert all(is_part(f"a{part}", tables) for part in parts)
    assert not any(is_part(name, tables) for name in ("a", "a_notes", "bits_rowids"))


@pytest.mark.parametrize("key", ["text", "integer"])
def test_a_vec0_table_is_the_table_itself(tmp_path: Path, key: str) -> None:
    check_sqlite_vec()
    embedder, names = HashedEmbedder(), [f"cat {n}" for n in range(60)]
    database = SQLiteVecDatabase(tmp_path)
    with closing(database.connect()) as connection, connection:
        connection.execute(
            f"CREATE VIRTUAL TABLE notes USING vec0(key {key} primary key, year integer, "
            f"lang text partition key, +body text, +kind text, v float[{embedder.dimension}])"
        )
        for n, vector in enumerate(embedder.encode(names)):
            row = (
                f"k{n}" if key == "text" else n,
                n,
                "en" if n % 2 else "de",
                names[n],
                f"kind {n}",
            )
            connection.execute("INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?)", [*row, vector])
    start = "k" if key == "text" else ""
    found = find(database.file, "cat 7", table="notes")
    assert found[0].document.id == f"{start}7"
    assert found[0].vector == pytest.approx(1)
    # Also by what the extension cannot compare, and before the limit.
    for condition in (
        "year >= 58",
        "lang IN ('en', 'de') AND NOT year < 58",
        "kind = 'kind 59'",
    ):
        found = find(database.file, "cat 7", condition, table="notes")
        assert {c.document.id for c in found} >= {f"{start}59"}
        assert all(c.document.metadata["year"] >= 58 for c in found)


def test_vec0_rows_that_the_table_does_not_have_are_counted(tmp_path: Path) -> None:
    check_sqlite_vec()
    database, embedder = SQLiteVecDatabase(tmp_path), HashedEmbedder()
    with closing(database.connect()) as connection, connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        connection.execute("CREATE VIRTUAL TABLE v USING vec0(e float[16])")
        connection.execute("INSERT INTO notes VALUES (1, 'the cat')")
        for row in (1, 2):
            vector = embedder.encode(["the cat"])[0].tobytes()
            connection.execute("INSERT INTO v (rowid, e) VALUES (?, ?)", [row, vector])
    url = file_url("sqlite", database.file, table="notes")
    with closing(open_retriever(url, embedder=embedder)) as retriever:
        found = retriever.search("cat", mode="vector")
    assert [c.document.id for c in found.candidates] == ["1"]
    assert "1 row of the vec0 table that the table does not have" in found.note
    with pytest.raises(InputError, match="no vec0 table 'w'"):
        find(database.file, "cat", table="notes", vec="w")


def test_vec0_tables_where_the_extension_cannot_be_loaded(tmp_path: Path) -> None:
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        pytest.skip("the sqlite3 of this Python loads extensions")
    file = make(
        tmp_path,
        "CREATE VIRTUAL TABLE notes USING fts5(id UNINDEXED, body);"
        "INSERT INTO notes VALUES ('n1', 'the cat'); PRAGMA writable_schema = 1;"
        "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, "
        "'CREATE VIRTUAL TABLE v USING vec0(e float[16], +body text)')",
    )
    with closing(open_retriever(file_url("sqlite", file, table="notes"))) as retriever:
        found = retriever.search("cat", mode="bm25")
    assert [c.document.id for c in found.candidates] == ["n1"]
    assert "the vectors of 'v' are not read" in found.note
    assert "built without the loading of extensions" in found.note
    with pytest.raises(InputError, match="built without the loading of extensions"):
        find(file, "cat", table="v")
