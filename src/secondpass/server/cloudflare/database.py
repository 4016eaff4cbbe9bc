"""The SQLite database of an instance: the tables of its items, its jobs and their logs."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondpass.storage import FAILURES, store_error

_VERSION = 1
_TABLES = """
CREATE TABLE items (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, file TEXT NOT NULL, content_type TEXT NOT NULL,
    checksum TEXT NOT NULL, size INTEGER NOT NULL, metadata TEXT NOT NULL,
    status TEXT NOT NULL, next_action TEXT, error TEXT, job TEXT,
    created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL, seen_at INTEGER NOT NULL,
    revision INTEGER NOT NULL, attempts INTEGER NOT NULL,
    documents INTEGER NOT NULL, chunks INTEGER);
CREATE UNIQUE INDEX live_keys ON items (key) WHERE next_action IS NOT 'DELETE';
CREATE INDEX waiting ON items (next_action, status, seen_at);
CREATE TABLE item_logs (
    number INTEGER PRIMARY KEY, item TEXT NOT NULL, at INTEGER NOT NULL, action TEXT NOT NULL,
    message TEXT, chunks INTEGER, error TEXT, milliseconds INTEGER);
CREATE INDEX logs_of_item ON item_logs (item);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL,
    description TEXT, started_at INTEGER NOT NULL, ended_at INTEGER, seen_at INTEGER,
    end_reason TEXT);
CREATE TABLE job_logs (
    number INTEGER PRIMARY KEY, job TEXT NOT NULL, at INTEGER NOT NULL, message TEXT NOT NULL,
    kind INTEGER NOT NULL);
CREATE INDEX logs_of_job ON job_logs (job);
"""


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in a new file; raises sqlite3.DatabaseError for another version."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"its schema has version {version}, not {_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


FILE_NAME = "items.sqlite"
_MAX_OPEN = 64
_open: OrderedDict[int, Database] = OrderedDict()
_open_lock = threading.Lock()


class Database:
    """One SQLite connection, used by one thread at a time; commits are durable (fsync).

    A bounded number of databases is open at once; others reopen when they are used. Raises
    IndexStoreError if the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        with self._connected():
            pass

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit when the block ends, durably, or roll back if it raises."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def fetch_all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._connected() as connection:
            return connection.execute(query, values).fetchall()

    def fetch_one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        rows = self.fetch_all(query, *values)
        return rows[0] if rows else None

    def close(self) -> None:
        """Close the file for good."""
        with self._lock:
            self._closed = True
            self._disconnect()
        with _open_lock:
            _open.pop(id(self), None)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except (*FAILURES, OSError) as error:
                what = "the database of items cannot be used"
                raise store_error(what, FILE_NAME, error) from error
        _mark_used(self)

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("it is closed")
        connection = sqlite3.connect(
            self._file, isolation_level=None, check_same_thread=False, timeout=30
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            create_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def release(self) -> None:
        """Close the file until the next use, unless a thread is using it now."""
        if self._lock.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._lock.release()


def _mark_used(database: Database) -> None:
    """Record the use of a database, and release the least recently used one."""
    with _open_lock:
        _open[id(database)] = database
        _open.move_to_end(id(database))
        oldest = _open.popitem(last=False)[1] if len(_open) > _MAX_OPEN else None
    if oldest is not None:
        oldest.release()
