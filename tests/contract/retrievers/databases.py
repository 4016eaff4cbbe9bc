"""The databases that adapters are tested with, each filled with the same rows."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import numpy as np
import pytest
from lancedb.index import FTS

from secondpass.retrieve.backends.database_url import file_url
from secondpass.retrieve.backends.lance.table import connect
from secondpass.retrieve.store_protocol import searchable
from tests.loopback.postgres import USER, PostgresServer, find_postgres, postgres_server
from tests.retrieve.hashed_embedder import HashedEmbedder

EMBEDDER = HashedEmbedder()


@dataclass(frozen=True)
class Row:
    """A row of the table `docs`; its vector is that of its title and text."""

    id: Any
    text: str | None
    title: str | None = None
    year: int | None = None
    price: float | None = None
    lang: str | None = None
    fresh: bool | None = None
    day: date | None = None
    parent: str | None = None

    @property
    def vector(self) -> np.ndarray:
        return EMBEDDER.encode([searchable(self.title, self.text or "")])[0]


FIELDS = ("year", "price", "lang", "fresh", "day")


class Database(Protocol):
    """A database with one table, or collection, `docs`.

    - `lacks`: what the engine cannot do, of "like", "day", "vectors", "keywords", "changes"
      (a write while a retriever is open), "drops" (its connections can be cut), "other_ids"
      (keyword search by another id than that of the index of words).
    - `password`: one that must never be printed, where there is one.
    """

    lacks: frozenset[str]
    password: str | None

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        """Make the table anew, with ids of a kind: "text", "integer" or "uuid"."""

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        """Add rows and delete others, while the table is being searched."""

    def url(self, **parameters: str) -> str:
        """Return the URL of the table."""

    def drop(self) -> None:
        """Cut all connections there are now."""


class SQLiteDatabase:
    lacks = frozenset({"ilike"})
    password = None
    blobs = True

    def __init__(self, folder: Path) -> None:
        self.file = folder / "it's a file.db"

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        key = "INTEGER" if kind == "integer" else "TEXT"
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executescript(
                "DROP TABLE IF EXISTS docs_fts; DROP TABLE IF EXISTS docs;"
                f"CREATE TABLE docs (id {key} PRIMARY KEY, title TEXT, body TEXT, "
                "year INTEGER, price REAL, lang TEXT, fresh BOOLEAN, day DATE, doc TEXT"
                f"{', embedding BLOB' if self.blobs else ''});"
                "CREATE VIRTUAL TABLE docs_fts USING fts5(title, body, content='docs');"
            )
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for key in delete:
                connection.execute("DELETE FROM docs WHERE id = ?", [key])
            connection.executemany(
                f"INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?{', ?' * self.blobs})",
                [
                    (
                        *(r.id, r.title, r.text, r.year, r.price, r.lang, r.fresh),
                        *(r.day and r.day.isoformat(), r.parent),
                        *([r.vector.tobytes()] if self.blobs else []),
                    )
                    for r in rows
                ],
            )
            connection.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")

    def url(self, **parameters: str) -> str:
        return file_url("sqlite", self.file, table="docs", **parameters)

    def drop(self) -> None:
        # A file that was written anew and put in the place of the old one.
        copy = self.file.with_suffix(".copy")
        copy.write_bytes(self.file.read_bytes())
        copy.replace(self.file)


@contextmanager
def sqlite(folder: Path) -> Iterator[Database]:
    yield SQLiteDatabase(folder)


class SQLiteVecDatabase(SQLiteDatabase):
    """The same table, its vectors in a table of the extension sqlite-vec."""

    blobs = False

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        with closing(self.connect()) as connection, connection:
            connection.execute("DROP TABLE IF EXISTS docs_vectors")
            connection.execute(
                "CREATE VIRTUAL TABLE docs_vectors USING vec0(embedding "
                f"float[{EMBEDDER.dimension}] distance_metric=cosine)"
            )
        super().fill(rows, kind=kind)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        row_of = "(SELECT rowid FROM docs WHERE id = ?)"
        with closing(self.connect()) as connection, connection:
            for key in delete:
                connection.execute(f"DELETE FROM docs_vectors WHERE rowid = {row_of}", [key])
        super().write(rows, delete=delete)
        with closing(self.connect()) as connection, connection:
            connection.executemany(
                f"INSERT INTO docs_vectors (rowid, embedding) VALUES ({row_of}, ?)",
                [(row.id, row.vector.tobytes()) for row in rows],
            )

    def connect(self) -> sqlite3.Connection:
        import sqlite_vec

        connection = sqlite3.connect(self.file)
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        return connection


def check_sqlite_vec() -> None:
    """Skip where tables of sqlite-vec cannot be made."""
    pytest.importorskip("sqlite_vec")
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        pytest.skip("the sqlite3 of this Python was built without the loading of extensions")


@contextmanager
def sqlite_vec(folder: Path) -> Iterator[Database]:
    check_sqlite_vec()
    yield SQLiteVecDatabase(folder)


_COLUMNS = (
    "title VARCHAR, body VARCHAR, year INTEGER, price DOUBLE, lang VARCHAR, fresh BOOLEAN, "
    "day DATE, doc VARCHAR"
)


def values(row: Row) -> tuple[Any, ...]:
    """Return a row in the order of the columns, without its vector."""
    return (
        *(row.id, row.title, row.text, row.year, row.price),
        *(row.lang, row.fresh, row.day, row.parent),
    )


def arrow_table(rows: Sequence[Row], integer_ids: bool = False) -> Any:
    """Return rows as an Arrow table."""
    import pyarrow as pa

    vector = pa.list_(pa.float32(), EMBEDDER.dimension)
    fields = (
        *(("id", pa.int64() if integer_ids else pa.string()), ("title", pa.string())),
        *(("body", pa.string()), ("year", pa.int32()), ("price", pa.float64())),
        *(("lang", pa.string()), ("fresh", pa.bool_()), ("day", pa.date32())),
        *(("doc", pa.string()), ("embedding", vector)),
    )
    names = [name for name, _ in fields]
    complete = [(*values(row), row.vector.tolist()) for row in rows]
    records = [dict(zip(names, row, strict=True)) for row in complete]
    return pa.Table.from_pylist(records, pa.schema(fields))


class DuckDBDatabase:
    lacks = frozenset({"changes", "drops", "other_ids"})
    password = None

    def __init__(self, folder: Path) -> None:
        self.file = folder / "it's a file.duckdb"

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        key = {"integer": "BIGINT", "uuid": "UUID"}.get(kind, "VARCHAR")
        duckdb, load_fts = self._client()
        with duckdb.connect(str(self.file)) as connection:
            load_fts(connection)
            connection.execute("DROP TABLE IF EXISTS docs")
            connection.execute(
                f"CREATE TABLE docs (id {key} PRIMARY KEY, {_COLUMNS}, "
                f"embedding FLOAT[{EMBEDDER.dimension}])"
            )
            if rows:
                self._insert(connection, rows, key)
            connection.execute(
                "PRAGMA create_fts_index('docs', 'id', 'title', 'body', overwrite = 1)"
            )

    @staticmethod
    def _client() -> Any:
        duckdb = pytest.importorskip("duckdb")
        pytest.importorskip("duckdb_extension_fts")
        from secondpass.retrieve.backends.duckdb_file import load_fts

        return duckdb, load_fts

    def _insert(self, connection: Any, rows: Sequence[Row], key: str) -> None:
        connection.register("batch", arrow_table(rows, key == "BIGINT"))
        connection.execute("INSERT INTO docs SELECT * FROM batch")

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        raise NotImplementedError

    def url(self, **parameters: str) -> str:
        return file_url("duckdb", self.file, table="docs", **parameters)

    def drop(self) -> None:
        raise NotImplementedError


@contextmanager
def duckdb(folder: Path) -> Iterator[Database]:
    yield DuckDBDatabase(folder)


class LanceDatabase:
    lacks = frozenset({"drops"})
    password = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lance's"

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        rows_ = arrow_table(rows, kind == "integer")
        table = connect(self.folder).create_table("docs", rows_, mode="overwrite")
        for column in ("title", "body"):
            table.create_index(column, config=FTS(), replace=True)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        table = connect(self.folder).open_table("docs")
        table.add(arrow_table(rows))
        for key in delete:
            table.delete(f"id = '{key}'")

    def url(self, **parameters: str) -> str:
        return file_url("lance", self.folder, table="docs", **parameters)

    def drop(self) -> None:
        raise NotImplementedError


@contextmanager
def lance(folder: Path) -> Iterator[Database]:
    yield LanceDatabase(folder)


class PostgresDatabase:
    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.password = server.password
        self.lacks = frozenset() if server.has_vectors else frozenset({"vectors"})

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        key = {"integer": "bigint", "uuid": "uuid"}.get(kind, "text")
        columns = (
            "title text, body text, year integer, price double precision, lang text, "
            "fresh boolean, day date, doc text, words tsvector GENERATED ALWAYS AS "
            "(to_tsvector('english', coalesce(title, '') || ' ' || coalesce(body, ''))) STORED"
        )
        with self.server.connect() as connection:
            connection.execute("DROP TABLE IF EXISTS docs")
            if self.server.has_vectors:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                columns += f", embedding vector({EMBEDDER.dimension})"
            connection.execute(f"CREATE TABLE docs (id {key} PRIMARY KEY, {columns})")
            connection.execute("CREATE INDEX ON docs USING gin (words)")
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        names = "id, title, body, year, price, lang, fresh, day, doc"
        names += ", embedding" if self.server.has_vectors else ""
        with self.server.connect() as connection, connection.transaction():
            for key in delete:
                connection.execute("DELETE FROM docs WHERE id = %s", [key])
            with connection.cursor().copy(f"COPY docs ({names}) FROM STDIN") as copy:
                for row in rows:
                    vector = [str(row.vector.tolist())] if self.server.has_vectors else []
                    copy.write_row([*values(row), *vector])

    def url(self, **parameters: str) -> str:
        query = urlencode({"table": "docs", **parameters})
        user = f"{USER}:{self.password}"
        return f"postgresql://{user}@127.0.0.1:{self.server.port}/postgres?{query}"

    def drop(self) -> None:
        with self.server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


@contextmanager
def postgres(folder: Path) -> Iterator[Database]:
    pytest.importorskip("psycopg")
    if find_postgres() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres_server() as server:
        yield PostgresDatabase(server)


Open = Callable[[Path], AbstractContextManager[Database]]
DATABASES: dict[str, Open] = {
    "duckdb": duckdb,
    "lance": lance,
    "postgresql": postgres,
    "sqlite": sqlite,
    "sqlite-vec": sqlite_vec,
}
"""By scheme. One that cannot run here calls `pytest.skip` with the reason."""


LANGS = ("en", "de", "O'Hara", "50%", "a_b", "Ärger", "back\\slash")


def generated_rows(count: int, seed: int = 7) -> list[Row]:
    """Return rows with the word "common", and with values missing here and there."""
    chance = random.Random(seed)

    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.8 else None

    words = ("apple", "river", "stone", "cloud", "engine", "paper", "quiet", "seven")
    return [
        Row(
            f"row-{number}",
            " ".join(["common", *chance.choices(words, k=6)]),
            title=maybe(chance.choice(words).title()),
            year=maybe(chance.randrange(1990, 2030)),
            price=maybe(chance.choice((0.0, 0.5, -1.25, 3.75, 1e6))),
            lang=maybe(
                chance.choice(("en", "de", "O'Hara", "50%", "a_b", "Ärger", "back\\slash"))
            ),
            fresh=maybe(chance.random() < 0.5),
            day=maybe(date(2020, 1, 1) + timedelta(days=chance.randrange(1000))),
        )
        for number in range(count)
    ]
