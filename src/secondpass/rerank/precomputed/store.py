"""Records, and where texts are cut, on disk in one SQLite file.

SQLite, because it already is what a store of records must be: one file, many readers
beside one writer, each write whole or not there at all whatever kills the process, and a
hundred records of 16 KB read in about a millisecond. It does not notice a byte that
changed inside a value, so each record carries a checksum.

What is kept can always be made again, so nothing here waits for the disk and nothing here
fails a search: what cannot be read is not found, and the caller is told why.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondpass.rerank.precomputed.types import Cut, Record
from secondpass.storage import BUSY, DAMAGED, FAILURES, NOT_WRITABLE, error_code, told

FORMAT = 1

# Long enough for another process to finish its write, too short to spoil a search.
_PATIENCE_SECONDS = 1.0
_PARAMETERS = 500

# The statements here are always the same: SQLite rejects one where the schema has changed.
_DAMAGED = DAMAGED | {sqlite3.SQLITE_ERROR}


@dataclass(frozen=True, slots=True)
class StoreLookup:
    """What was found, by key, and why something that was kept could not be read, if so."""

    records: Mapping[bytes, Record] = field(default_factory=dict)
    problem: str | None = None


class StateStore:
    """Keeps records by the key of their window, for one model.

    - `digest`: of what made the records; a file that holds those of another model, or of
      another `codes` or `dimension`, counts as empty, and the next write clears it.
    - A folder that cannot be written to is only read. A damaged file is replaced at the
      next write; a damaged record counts as absent.

    Nothing is opened or made before the first use. Safe to use from several threads, and
    several processes may read and write at once.
    """

    def __init__(self, file: Path, *, digest: str, codes: int, dimension: int) -> None:
        self.file = file
        self.digest = digest
        self.codes, self.dimension = codes, dimension
        self._about = (FORMAT, digest, codes, dimension)
        self._connection: sqlite3.Connection | None = None
        self._damaged = False
        self._lock = threading.Lock()

    def get(self, keys: Sequence[bytes]) -> StoreLookup:
        """Return those records that are kept; never raises for the state of the file."""
        with self._lock:
            try:
                rows = self._select(keys, "states")
            except FAILURES as error:
                self._disconnect()
                # A write might not meet the damaged pages: only a new file is sure.
                self._damaged = self._damaged or error_code(error) in _DAMAGED
                return StoreLookup(problem=told(self.file, error))
        records, damaged = {}, 0
        for key, data in rows:
            try:
                records[key] = self._unpack(key, data)
            except (ValueError, TypeError):
                damaged += 1
        if damaged:
            return StoreLookup(records, f"{self.file.name} holds {damaged} damaged records")
        return StoreLookup(records)

    def put(self, records: Iterable[tuple[bytes, Record]]) -> str | None:
        """Keep records in one step, all or none; return what was wrong, if anything was.

        A place that cannot be written to, or that another process writes to for long, is
        nothing wrong: the records are not kept, and are made again when they are needed.
        A file in which a read has met damage is replaced now, and one in which this write
        does by the next.
        """
        packed = ((key, _sealed(key, record.to_bytes())) for key, record in records)
        with self._lock:
            if self._damaged:
                self._disconnect()
                self._remove()
            try:
                with self._writing() as connection:
                    connection.executemany(
                        "INSERT OR REPLACE INTO states VALUES (?, ?)", packed
                    )
            except FAILURES as error:
                self._disconnect()
                code = error_code(error)
                if code in _DAMAGED:
                    self._remove()
                elif code in NOT_WRITABLE | BUSY:
                    return None
                return told(self.file, error)
        return None

    def get_cuts(self, names: Sequence[bytes]) -> dict[bytes, Cut]:
        """Return those cuts that are kept; what cannot be read is not there."""
        with self._lock:
            try:
                rows = self._select(names, "cuts")
            except FAILURES as error:
                self._disconnect()
                self._damaged = self._damaged or error_code(error) in _DAMAGED
                return {}
        found = {}
        for name, data in rows:
            with contextlib.suppress(ValueError, TypeError):
                found[name] = Cut.from_bytes(_checked(name, data))
        return found

    def put_cuts(self, cuts: Mapping[bytes, Cut]) -> None:
        """Keep cuts by name, all or none; where that is not possible they are made again."""
        packed = [(name, _sealed(name, cut.to_bytes())) for name, cut in cuts.items()]
        with self._lock:
            try:
                with self._writing() as connection:
                    connection.executemany("INSERT OR REPLACE INTO cuts VALUES (?, ?)", packed)
            except FAILURES as error:
                self._disconnect()
                # Replaced by the next write of records, whose caller says what happened.
                self._damaged = self._damaged or error_code(error) in _DAMAGED

    def keep_only(self, keys: Iterable[bytes], names: Iterable[bytes] = ()) -> int:
        """Remove all records but these, and all cuts but those of these names.

        Gives the space back, and returns how many records went.
        """
        with self._lock:
            if not self.file.is_file():
                return 0
            try:
                with self._writing() as connection:
                    gone = _delete_others(connection, "states", keys)
                    _delete_others(connection, "cuts", names)
                if gone:
                    with contextlib.suppress(sqlite3.OperationalError):
                        connection.execute("VACUUM")
            except FAILURES as error:
                self._disconnect()
                if error_code(error) in _DAMAGED:
                    self._remove()
                return 0
        return gone

    def count(self) -> int:
        """Return how many records are kept; 0 where the file cannot be read."""
        with self._lock:
            try:
                connection = self._reading()
                if connection is None:
                    return 0
                return int(connection.execute("SELECT count(*) FROM states").fetchone()[0])
            except FAILURES:
                self._disconnect()
                return 0

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        with self._lock:
            self._disconnect()

    def remove(self) -> None:
        """Delete the file with all records, where that is possible."""
        with self._lock:
            self._disconnect()
            self._remove()

    def _select(self, keys: Sequence[bytes], table: str) -> list[tuple[bytes, bytes]]:
        connection = self._reading() if keys else None
        if connection is None or not _holds(connection, table):
            return []
        rows: list[tuple[bytes, bytes]] = []
        for start in range(0, len(keys), _PARAMETERS):
            some = keys[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            query = f"SELECT * FROM {table} WHERE key IN ({marks})"
            rows += connection.execute(query, some).fetchall()
        return rows

    def _reading(self) -> sqlite3.Connection | None:
        """Return a connection to records of this model, or None where there are none."""
        if not self.file.is_file():
            self._disconnect()
            return None
        connection = self._connect("rw")
        return connection if self._ours(connection) else None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connect("rwc")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not self._ours(connection):
                connection.execute("DROP TABLE IF EXISTS about")
                connection.execute("DROP TABLE IF EXISTS states")
                connection.execute("DROP TABLE IF EXISTS cuts")
                connection.execute("CREATE TABLE about (format, digest, codes, dimension)")
                connection.execute("CREATE TABLE states (key BLOB PRIMARY KEY, record BLOB)")
                connection.execute("INSERT INTO about VALUES (?, ?, ?, ?)", self._about)
            # Not among the tables that make a file ours: files from before cuts were kept
            # have none, and their records are as good.
            connection.execute(
                "CREATE TABLE IF NOT EXISTS cuts (key BLOB PRIMARY KEY, cut BLOB)"
            )
            yield connection
        except BaseException:
            with contextlib.suppress(*FAILURES):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _ours(self, connection: sqlite3.Connection) -> bool:
        tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('about', 'states')"
        if connection.execute(tables).fetchone()[0] != 2:
            return False
        about: list[tuple[object, ...]] = connection.execute("SELECT * FROM about").fetchall()
        return about == [self._about]

    def _connect(self, mode: str) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                f"{self.file.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_PATIENCE_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection = connection
            # A power cut may cost records, never truth: they are checked when read.
            connection.execute("PRAGMA synchronous = OFF")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        self._damaged = False
        journal = self.file.with_name(f"{self.file.name}-journal")
        # The journal first: left alone, SQLite would play it back into the next file.
        for file in (journal, self.file):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)

    def _unpack(self, key: bytes, packed: bytes) -> Record:
        return Record.from_bytes(
            _checked(key, packed), codes=self.codes, dimension=self.dimension
        )


def _sealed(key: bytes, data: bytes) -> bytes:
    return zlib.crc32(data, zlib.crc32(key)).to_bytes(4, "little") + data


def _checked(key: bytes, sealed: bytes) -> bytes:
    data = sealed[4:]
    if _sealed(key, data) != sealed:
        raise ValueError("the checksum is not that of the record")
    return data


def _holds(connection: sqlite3.Connection, table: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table])
    return found.fetchone() is not None


def _delete_others(connection: sqlite3.Connection, table: str, keys: Iterable[bytes]) -> int:
    connection.execute("CREATE TEMP TABLE live (key BLOB PRIMARY KEY)")
    connection.executemany("INSERT OR IGNORE INTO live VALUES (?)", ((key,) for key in keys))
    gone = connection.execute(
        f"DELETE FROM {table} WHERE key NOT IN (SELECT key FROM live)"
    ).rowcount
    connection.execute("DROP TABLE live")
    return gone
