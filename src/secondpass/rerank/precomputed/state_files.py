"""Files of states that machines exchange: what one has stored, another one takes in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from secondpass.rerank.precomputed.removal import KeySet
from secondpass.rerank.precomputed.types import Segments
from secondpass.storage import FAILURES, describe_failure, verify_checksum

# The tables of a `StateStore`, with their second columns.
_TABLES = {"states": "record", "cuts": "cut"}
FREES_PAGES = "PRAGMA auto_vacuum = INCREMENTAL"
"""Says of a new file that pages without content can be freed, a few at a time."""

# So many a transaction: searches read between two of them.
_ROWS_AT_ONCE = 2000
_BUSY_SECONDS = 30.0


def free_pages_later(connection: sqlite3.Connection) -> None:
    """Prepare a new file for that its pages are freed; others stay as they are."""
    # Of a file with content it would write, which not everyone who reads may.
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute(FREES_PAGES)


def last_rows(file: Path) -> dict[str, int]:
    """Return the number of the last row of each table; 0 where there is none.

    Rows are numbered in the order in which they were stored.
    """
    numbers = dict.fromkeys(_TABLES, 0)
    if not file.is_file():
        return numbers
    try:
        with _connected(file, "ro") as connection:
            for table in _tables_of(connection, "main"):
                (last,) = connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()
                numbers[table] = int(last or 0)
    except FAILURES:
        return dict.fromkeys(_TABLES, 0)
    return numbers


def count_states(file: Path) -> int:
    """Return how many states a file has, of whatever model; 0 where that cannot be read."""
    if not file.is_file():
        return 0
    try:
        with _connected(file, "ro") as connection:
            if not _tables_of(connection, "main"):
                return 0
            return int(connection.execute("SELECT count(*) FROM states").fetchone()[0])
    except FAILURES:
        return 0


def export_states(file: Path, target: Path, after: Mapping[str, int]) -> str | None:
    """Write what was stored after these rows to a new file; none where there is nothing.

    Return what went wrong, if anything did; then there is no new file.
    """
    if not file.is_file():
        return None
    written = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _connected(target, "rwc") as connection, _attached(connection, file):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            _create(connection)
            for table in _tables_of(connection, "other"):
                written += connection.execute(
                    f"INSERT INTO main.{table} SELECT * FROM other.{table} WHERE rowid > ?",
                    [after.get(table, 0)],
                ).rowcount
            connection.execute("COMMIT")
    except FAILURES as error:
        target.unlink(missing_ok=True)
        return describe_failure(file, error)
    if not written:
        target.unlink()
    return None


def is_imported(name: str, file: Path) -> bool:
    """Return whether the states of a file of this name were taken in."""
    if not file.is_file():
        return False
    try:
        with _connected(file, "ro") as connection:
            found = connection.execute("SELECT 1 FROM imported WHERE name = ?", [name])
            return found.fetchone() is not None
    except FAILURES:
        return False


def import_states(
    source: Path, file: Path, *, owned: Callable[[bytes], bool] | None = None
) -> str | None:
    """Take the states of a file that `export_states` wrote into that of a `StateStore`.

    A source is read once, by its name. `owned` says of the key of a text's segments whether
    the states of its windows are taken, None for all. Of states whose text is in neither file,
    none are taken, but all where there are no texts, as in files of earlier versions. Return
    what went wrong, if anything did; what was not taken in is computed again by the
    searches that need it.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _connected(file, "rwc") as connection, _attached(connection, source):
            connection.execute("PRAGMA synchronous = OFF")
            free_pages_later(connection)
            connection.execute("BEGIN IMMEDIATE")
            if not _tables_of(connection, "main"):
                _create(connection)
            connection.execute("CREATE TABLE IF NOT EXISTS imported (name TEXT PRIMARY KEY)")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS cuts (key BLOB PRIMARY KEY, cut BLOB)"
            )
            connection.execute("COMMIT")
            about = [
                connection.execute(f"SELECT * FROM {place}.about").fetchall()
                for place in ("main", "other")
            ]
            known = connection.execute("SELECT 1 FROM imported WHERE name = ?", [source.name])
            if about[0] != about[1] or known.fetchone() is not None:
                return None
            if owned is None or not any(_has_texts(connection, p) for p in ("main", "other")):
                for table in _tables_of(connection, "other"):
                    _insert(connection, table)
            else:
                _insert_owned(connection, owned)
            connection.execute("INSERT OR IGNORE INTO imported VALUES (?)", [source.name])
    except FAILURES as error:
        return describe_failure(file, error)
    return None


def _insert(connection: sqlite3.Connection, table: str) -> None:
    (last,) = connection.execute(f"SELECT max(rowid) FROM other.{table}").fetchone()
    for start in range(0, int(last or 0), _ROWS_AT_ONCE):
        connection.execute(
            f"INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table} "
            "WHERE rowid > ? AND rowid <= ?",
            [start, start + _ROWS_AT_ONCE],
        )


def _has_texts(connection: sqlite3.Connection, place: str) -> bool:
    if "cuts" not in _tables_of(connection, place):
        return False
    return connection.execute(f"SELECT 1 FROM {place}.cuts LIMIT 1").fetchone() is not None


def _insert_owned(connection: sqlite3.Connection, owned: Callable[[bytes], bool]) -> None:
    """Copy the segments of owned texts, and the states of their windows."""
    known = KeySet()
    for texts in _texts(connection, "other"):
        cuts: list[tuple[bytes, bytes]] = []
        windows: list[bytes] = []
        for key, cut, keys in texts:
            known.add(keys)
            if owned(key):
                cuts.append((key, cut))
                windows += keys
        _insert_windows(connection, windows, cuts)
    # Those that were stored after their texts, as by `optimize`, are of texts taken before.
    without = KeySet()
    for states in _state_keys(connection):
        found = zip(states, known.contains(states), strict=True)
        without.add(key for key, there in found if not there)
    if without:
        for texts in _texts(connection, "main"):
            windows = [window for _, _, keys in texts for window in keys]
            found = zip(windows, without.contains(windows), strict=True)
            _insert_windows(connection, [key for key, there in found if there])


def _insert_windows(
    connection: sqlite3.Connection,
    windows: Sequence[bytes],
    cuts: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    if not windows and not cuts:
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR IGNORE INTO main.cuts VALUES (?, ?)", cuts)
    connection.executemany(
        "INSERT OR IGNORE INTO main.states SELECT * FROM other.states WHERE key = ?",
        [(window,) for window in windows],
    )
    connection.execute("COMMIT")


def _texts(
    connection: sqlite3.Connection, place: str
) -> Iterator[list[tuple[bytes, bytes, tuple[bytes, ...]]]]:
    """Yield the keys of texts with their segments and the keys of their windows."""
    last = -1
    while "cuts" in _tables_of(connection, place):
        rows = connection.execute(
            f"SELECT rowid, key, cut FROM {place}.cuts WHERE rowid > ? ORDER BY rowid LIMIT ?",
            [last, _ROWS_AT_ONCE],
        ).fetchall()
        if not rows:
            return
        last = rows[-1][0]
        texts = []
        for _, key, cut in rows:
            # Damaged ones count as absent here too.
            with suppress(ValueError, TypeError):
                texts.append((key, cut, Segments.from_bytes(verify_checksum(key, cut)).keys))
        yield texts


def _state_keys(connection: sqlite3.Connection) -> Iterator[list[bytes]]:
    last = b""
    while True:
        rows = connection.execute(
            "SELECT key FROM other.states WHERE key > ? ORDER BY key LIMIT ?",
            [last, _ROWS_AT_ONCE],
        ).fetchall()
        if not rows:
            return
        last = rows[-1][0]
        yield [key for (key,) in rows]


def _create(connection: sqlite3.Connection) -> None:
    """Create the tables of a `StateStore`, about the model of the other file."""
    connection.execute("CREATE TABLE main.about AS SELECT * FROM other.about")
    for table, column in _TABLES.items():
        connection.execute(f"CREATE TABLE main.{table} (key BLOB PRIMARY KEY, {column} BLOB)")


def _tables_of(connection: sqlite3.Connection, place: str) -> list[str]:
    rows = connection.execute(f"SELECT name FROM {place}.sqlite_master WHERE type = 'table'")
    names = {name for (name,) in rows}
    return [table for table in _TABLES if table in names] if "about" in names else []


@contextmanager
def _connected(file: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{file.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    with closing(connection):
        yield connection


@contextmanager
def _attached(connection: sqlite3.Connection, file: Path) -> Iterator[None]:
    connection.execute("ATTACH ? AS other", [f"{file.absolute().as_uri()}?mode=ro"])
    yield
