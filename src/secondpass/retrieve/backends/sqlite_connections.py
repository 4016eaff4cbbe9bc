"""Read-only connections to a SQLite file, and what its schema says of a table."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

from secondpass.errors import InputError, RetrieverError, nearest
from secondpass.retrieve.backends.connection_pool import ConnectionPool
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.backends.filter_sql import SQLDialect
from secondpass.retrieve.backends.sqlite_vec import (
    VectorTable,
    is_part,
    load_vec0,
    vector_tables,
)
from secondpass.retrieve.backends.table_columns import TableColumns

T = TypeVar("T")
_STEPS_PER_CHECK = 10_000
_FTS5 = re.compile(r"\busing\s+fts5\s*\((.*)\)\s*$", re.IGNORECASE | re.DOTALL)
_OPTION = re.compile(r"\b(content|content_rowid)\s*=\s*(['\"`\[]?)([^'\"`\],]*)", re.IGNORECASE)
_SHADOWS = ("data", "idx", "content", "docsize", "config")
_KINDS = (
    ("BOOL", "boolean"),
    ("DATETIME", "datetime"),
    ("TIMESTAMP", "datetime"),
    ("DATE", "date"),
    ("JSON", "json"),
    ("INT", "integer"),
    ("CHAR", "text"),
    ("CLOB", "text"),
    ("TEXT", "text"),
    ("UUID", "text"),
    ("BLOB", "bytes"),
    ("REAL", "number"),
    ("FLOA", "number"),
    ("DOUB", "number"),
    ("NUM", "number"),
    ("DEC", "number"),
)
_STORED = {"integer": "integer", "real": "number", "text": "text", "blob": "bytes"}


class SQLiteConnections:
    """A few connections to one file, for any number of threads.

    A read is one transaction and ends after the time-out. A file that was replaced is opened
    again. `without_vec0` is why tables of sqlite-vec cannot be read, None where they can.
    Raises RetrieverError where there is no file.
    """

    def __init__(self, url: DatabaseURL) -> None:
        self.url = url
        self._file = url.file
        self.without_vec0: str | None = None
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            url,
            self._connect,
            sqlite3.Connection.close,
            errors=(sqlite3.Error,),
            dropped=(sqlite3.DatabaseError,),
            timed_out=lambda error: "interrupted" in str(error),
            usable=lambda connection: connection.place == self._place(),
        )
        self.run("SELECT 1")

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one statement."""
        return self.read(lambda connection: connection.execute(statement, values).fetchall())

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function within one read transaction and return what it does."""
        return self._pool.read(lambda c: _in_transaction(c, work, self.url.timeout))

    def close(self) -> None:
        """Close all connections, once their reads have ended."""
        self._pool.close()

    def _connect(self) -> _Connection:
        place = self._place()
        connection = sqlite3.connect(
            f"file:{quote(str(self._file.absolute()))}?mode=ro",
            uri=True,
            timeout=self.url.connect_timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.place = place
        connection.execute("PRAGMA query_only = 1")
        self.without_vec0 = load_vec0(connection)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        return connection

    def _place(self) -> tuple[int, int]:
        """Return which file is there now."""
        try:
            status = self._file.stat()
        except OSError as error:
            raise RetrieverError(
                "the database cannot be opened",
                where=self.url.redacted,
                why=f"{self._file}: {error.strerror}",
                fix="sqlite:///FILE is relative to this folder, sqlite:////FILE absolute.",
            ) from error
        return status.st_dev, status.st_ino


class _Connection(sqlite3.Connection):
    """A connection that knows which file it reads."""

    place: tuple[int, int]


def _in_transaction(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], timeout: float
) -> T:
    deadline = monotonic() + timeout
    connection.set_progress_handler(lambda: monotonic() > deadline, _STEPS_PER_CHECK)
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        if connection.in_transaction:
            connection.rollback()


def list_tables(
    connections: SQLiteConnections,
) -> tuple[list[str], dict[str, str], dict[str, VectorTable]]:
    """Return the tables and views, what the FTS5 tables are made of, and the vec0 tables."""
    rows = connections.run(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'view')"
    )
    fts = {name: match[1] for name, sql in rows if (match := _FTS5.search(sql or ""))}
    vectors = vector_tables(rows)
    hidden = {f"{name}_{part}" for name in fts for part in _SHADOWS}
    names = [n for n, _ in rows if n not in hidden and not n.startswith("sqlite_")]
    return [n for n in names if not is_part(n, vectors)], fts, vectors


def read_kinds(connections: SQLiteConnections, table: str) -> tuple[dict[str, str], str | None]:
    """Return the kind of each column, and the primary key where it is one column.

    A column that declares no type has the kind of its first value.
    """
    rows = connections.run(
        "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden IN (0, 2, 3)", [table]
    )
    kinds = {}
    for name, declared, _ in rows:
        kind = next((k for part, k in _KINDS if part in declared.upper()), None)
        kinds[name] = kind or _stored_kind(connections, table, name)
    keys = [name for name, _, position in rows if position]
    return kinds, keys[0] if len(keys) == 1 else None


def _stored_kind(connections: SQLiteConnections, table: str, column: str) -> str:
    quoted = SQLDialect().name
    found = connections.run(
        f"SELECT typeof({quoted(column)}) FROM {quoted(table)} "
        f"WHERE {quoted(column)} NOT NULL LIMIT 1"
    )
    return _STORED.get(found[0][0], "text") if found else "text"


def find_fts(url: DatabaseURL, table: str, fts: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the FTS5 table that searches a table, or None, and the column it joins by.

    It is the one of the URL, the table itself, or one whose `content` is the table.
    """
    named = url.options.get("fts")
    if named is not None and named not in fts:
        raise InputError(
            f"the database has no FTS5 table {named!r}",
            where=url.redacted,
            fix=nearest(named, fts),
        )
    if table in fts and named in (None, table):
        return table, "rowid"
    for name, parts in fts.items():
        options = {m[1].lower(): m[3].strip() for m in _OPTION.finditer(parts)}
        if name == named or (
            named is None and options.get("content", "").lower() == table.lower()
        ):
            return name, options.get("content_rowid") or "rowid"
    return None, "rowid"


def how_to_index(table: str, columns: TableColumns) -> str:
    """Return the statements that make an FTS5 table of a table."""
    quoted = SQLDialect().name
    texts = ", ".join(quoted(c) for c in (columns.title, columns.text) if c is not None)
    name = quoted(f"{table}_fts")
    return (
        f"one is made by: CREATE VIRTUAL TABLE {name} USING fts5({texts}, "
        f"content={quoted(table)}); INSERT INTO {name} ({name}) VALUES ('rebuild')"
    )
