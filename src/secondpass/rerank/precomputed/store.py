"""Records of windows, and the segments of documents, in an SQLite file.

SQLite has what a store of records needs: one file, many readers beside one writer, each write
whole or absent whatever kills the process, and a hundred records of 16 KB read in about a
millisecond. Each record carries a checksum.

A record can always be computed again, so nothing here waits for the disk and nothing here
fails a search: what cannot be read counts as absent, and the reason is returned.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from secondpass.rerank.precomputed.record_formats import FULL, RecordFormat
from secondpass.rerank.precomputed.removal import KeySet, Removed
from secondpass.rerank.precomputed.state_files import FREES_PAGES, free_pages_later, last_rows
from secondpass.rerank.precomputed.types import Record, Segments
from secondpass.storage import (
    BUSY,
    DAMAGED,
    FAILURES,
    NOT_WRITABLE,
    Failure,
    SqliteFile,
    add_checksum,
    describe_failure,
    error_code,
    select_by_key,
    verify_checksum,
)

FORMAT = 1
# So many records are in memory while they are written in another format.
_AT_ONCE = 500

# So much is done at once while others wait: each some milliseconds.
_KEYS_AT_ONCE = 5000
_DELETED_AT_ONCE = 200
_PAGES_AT_ONCE = 1000
_PAUSE_SECONDS = 0.001
# How often a second is waited for others who write.
_TURNS = 30
# A file of this size is copied within a second.
_COPIED_BYTES = 128 * 1024**2
_INCREMENTAL = 2
_TABLES = {"states": "record", "cuts": "cut"}

Table = Literal["states", "cuts"]
T = TypeVar("T")

# The statements here are always the same: SQLite rejects one where the schema was changed.
_DAMAGED = DAMAGED | {sqlite3.SQLITE_ERROR}


@dataclass(frozen=True, slots=True)
class StoreLookup:
    """The records that are stored, by key, and why others could not be read, if so."""

    records: Mapping[bytes, Record] = field(default_factory=dict)
    problem: str | None = None


class StateStore:
    """Records by the key of their window, and segments by the key of their text, of one model.

    - `digest`: of the model that computed the records; a file of another model, or of another
      `codes` or `dimension`, counts as empty, and the next write clears it.
    - `format`: how records are written; a file in another format counts as empty, too.
    - In a folder that is not writable the file is only read. A damaged file is replaced at the
      next write; a damaged record counts as absent.

    Nothing is opened or made before the first use. Thread-safe, and several processes may read
    and write at once.
    """

    def __init__(
        self,
        file: Path,
        *,
        digest: str,
        codes: int,
        dimension: int,
        format: RecordFormat = FULL,  # noqa: A002
    ) -> None:
        self.file = file
        self.digest = digest
        self.codes, self.dimension = codes, dimension
        self.format = format
        self._about = (FORMAT, digest + format.mark, codes, dimension)
        # A power cut may lose records, but damaged ones are detected when they are read.
        self._sqlite = SqliteFile(file, pragmas=("PRAGMA synchronous = OFF",))
        self._damaged = False

    def get(self, keys: Sequence[bytes]) -> StoreLookup:
        """Return the records that are stored; never raises for the state of the file."""
        with self._sqlite.lock:
            try:
                rows = self._select("states", keys)
            except FAILURES as error:
                self._note_damage(error)
                return StoreLookup(problem=describe_failure(self.file, error))
        records, damaged = {}, 0
        for key, packed in rows:
            try:
                data = verify_checksum(key, packed)
                records[key] = self.format.unpack(data, self.codes, self.dimension)
            except (ValueError, TypeError):
                damaged += 1
        if damaged:
            return StoreLookup(records, f"{self.file.name} has {damaged} damaged records")
        return StoreLookup(records)

    def missing(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return the keys without a record, each once, in order; all if the file is damaged."""
        wanted = list(dict.fromkeys(keys))
        with self._sqlite.lock:
            try:
                found = {key for key, _ in self._select("states", wanted, "key, NULL")}
            except FAILURES as error:
                self._note_damage(error)
                return wanted
        return [key for key in wanted if key not in found]

    def put(self, records: Iterable[tuple[bytes, Record]]) -> str | None:
        """Store records in one transaction; return what went wrong, if anything did.

        A folder that is not writable, or a file that another process writes to for long, is not
        an error: the records are computed again when they are needed. A file in which a read
        has met damage is replaced now, and one in which this write does by the next.
        """
        pack = self.format.pack
        packed = ((key, add_checksum(key, pack(record))) for key, record in records)
        with self._sqlite.lock:
            if self._damaged:
                self._delete()
            try:
                with self._transaction() as connection:
                    connection.executemany(
                        "INSERT OR REPLACE INTO states VALUES (?, ?)", packed
                    )
            except FAILURES as error:
                self._sqlite.close()
                code = error_code(error)
                if code in _DAMAGED:
                    self._delete()
                elif code in NOT_WRITABLE | BUSY:
                    return None
                return describe_failure(self.file, error)
        return None

    def get_segments(self, keys: Sequence[bytes]) -> dict[bytes, Segments]:
        """Return the segments that are stored; what cannot be read counts as absent."""
        with self._sqlite.lock:
            try:
                rows = self._select("cuts", keys)
            except FAILURES as error:
                self._note_damage(error)
                return {}
        segments = {}
        for key, packed in rows:
            with contextlib.suppress(ValueError, TypeError):
                segments[key] = Segments.from_bytes(verify_checksum(key, packed))
        return segments

    def put_segments(self, segments: Mapping[bytes, Segments]) -> None:
        """Store segments by key, all or none; where that fails they are computed again."""
        packed = [(key, add_checksum(key, s.to_bytes())) for key, s in segments.items()]
        with self._sqlite.lock:
            try:
                with self._transaction() as connection:
                    connection.executemany("INSERT OR REPLACE INTO cuts VALUES (?, ?)", packed)
            except FAILURES as error:
                # Replaced by the next write of records, which returns what went wrong.
                self._note_damage(error)

    def keep_only(
        self,
        keys: KeySet,
        segment_keys: KeySet,
        *,
        until: Mapping[str, int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Removed:
        """Delete all records but these, and all segments but these, and free their space.

        In small steps, between which others read and write. With `until`, the last rows of
        before (see `last_rows`), what was stored after them stays too. `progress` is called
        with how many of all keys were looked at. What could not be deleted is in `problem` of
        what is returned; it never raises for the state of the file.
        """
        before, removed, problem = self.nbytes, Removed(), None
        until = last_rows(self.file) if until is None else until
        done, total = 0, self.count("states") + self.count("cuts")
        try:
            for table, needed in (("states", keys), ("cuts", segment_keys)):
                for looked_at, deleted in self._delete_others(table, needed, until[table]):
                    done += looked_at
                    if table == "states":
                        removed += deleted
                    if progress is not None:
                        progress(min(done, total), total)
            if removed.states:
                self._free_pages()
        except FAILURES as error:
            problem = describe_failure(self.file, error)
            with self._sqlite.lock:
                self._sqlite.close()
                if error_code(error) in _DAMAGED:
                    self._delete()
        freed = max(0, before - self.nbytes)
        return replace(removed, freed=freed, problem=problem)

    def _delete_others(
        self, table: str, needed: KeySet, until: int
    ) -> Iterator[tuple[int, Removed]]:
        """Delete rows step by step; yield how many were looked at, and what was deleted."""
        column, last = _TABLES[table], b""

        def next_rows() -> list[tuple[bytes, int]]:
            connection = self._connect()
            if connection is None or not _has_table(connection, table):
                return []
            # The index of keys has both, so that no record is read.
            query = f"SELECT key, rowid FROM {table} WHERE key > ? ORDER BY key LIMIT ?"
            return connection.execute(query, [last, _KEYS_AT_ONCE]).fetchall()

        def delete(others: Sequence[bytes]) -> Removed:
            where = f"key IN ({','.join('?' * len(others))}) AND rowid <= ?"
            with self._transaction() as connection:
                count, size = connection.execute(
                    f"SELECT count(*), total(length({column})) FROM {table} WHERE {where}",
                    [*others, until],
                ).fetchone()
                connection.execute(f"DELETE FROM {table} WHERE {where}", [*others, until])
            return Removed(count, int(size))

        while rows := self._in_turn(next_rows):
            last = rows[-1][0]
            found = needed.contains([key for key, _ in rows])
            others = [
                key
                for (key, row), stays in zip(rows, found, strict=True)
                if not stays and row <= until
            ]
            yield len(rows), Removed()
            for keys in _in_parts(others, _DELETED_AT_ONCE):
                yield 0, self._in_turn(partial(delete, keys))
                # Searches of this process wait for the same lock.
                time.sleep(_PAUSE_SECONDS)

    def _free_pages(self) -> None:
        """Make the file smaller by the pages without content, without keeping others waiting.

        A large file of an earlier version keeps them: freeing them would copy all of it, with
        nobody reading meanwhile.
        """

        def pragma(name: str) -> int:
            connection = self._connect()
            return 0 if connection is None else int(connection.execute(name).fetchone()[0])

        def free() -> None:
            # `execute` would free one page: it does not go on where there are no columns.
            script = f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})"
            self._sqlite.connect().executescript(script)

        def copy() -> None:
            connection = self._sqlite.connect()
            connection.execute(FREES_PAGES)
            connection.execute("VACUUM")

        if self._in_turn(lambda: pragma("PRAGMA auto_vacuum")) == _INCREMENTAL:
            pages = self._in_turn(lambda: pragma("PRAGMA freelist_count"))
            for _ in range(0, pages, _PAGES_AT_ONCE):
                self._in_turn(free)
                time.sleep(_PAUSE_SECONDS)
        elif self.nbytes <= _COPIED_BYTES:
            self._in_turn(copy)

    def _in_turn(self, step: Callable[[], T]) -> T:
        """Return what a step returns, once others have written what they were writing."""
        for _ in range(_TURNS):
            with self._sqlite.lock:
                try:
                    return step()
                except FAILURES as error:
                    if error_code(error) not in BUSY:
                        raise
        with self._sqlite.lock:
            return step()

    def count(self, table: Table = "states") -> int:
        """Return how many records, or segments, are stored; 0 where it cannot be read."""
        with self._sqlite.lock:
            try:
                connection = self._connect()
                if connection is None or not _has_table(connection, table):
                    return 0
                return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            except FAILURES:
                self._sqlite.close()
                return 0

    @property
    def nbytes(self) -> int:
        """How many bytes the file has; 0 where there is none."""
        return _file_size(self.file)

    def copy_from(self, other: StateStore) -> None:
        """Store all that another store of the same model has, in this store's format."""
        for keys in _in_parts(other.keys("states")):
            self.put(other.get(keys).records.items())
        for keys in _in_parts(other.keys("cuts")):
            self.put_segments(other.get_segments(keys))

    def keys(self, table: Table) -> list[bytes]:
        """Return the keys of all records, or of all segments; none where it cannot be read."""
        with self._sqlite.lock:
            try:
                connection = self._connect()
                if connection is None or not _has_table(connection, table):
                    return []
                return [key for (key,) in connection.execute(f"SELECT key FROM {table}")]
            except FAILURES as error:
                self._note_damage(error)
                return []

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._sqlite.lock:
            self._sqlite.close()

    def remove(self) -> None:
        """Delete the file with all records, where that is possible."""
        with self._sqlite.lock:
            self._delete()

    def _select(
        self, table: str, keys: Sequence[bytes], columns: str = "*"
    ) -> list[tuple[bytes, bytes]]:
        connection = self._connect() if keys else None
        if connection is None or not _has_table(connection, table):
            return []
        return select_by_key(connection, table, keys, columns)

    def _connect(self) -> sqlite3.Connection | None:
        """Return a connection to records of this model, or None where there are none."""
        if not self.file.is_file():
            self._sqlite.close()
            return None
        connection = self._sqlite.connect()
        return connection if self._is_own(connection) else None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self.nbytes:
            free_pages_later(self._sqlite.connect(create=True))
        with self._sqlite.transaction() as connection:
            if not self._is_own(connection):
                connection.execute("DROP TABLE IF EXISTS about")
                connection.execute("DROP TABLE IF EXISTS states")
                connection.execute("DROP TABLE IF EXISTS cuts")
                connection.execute("CREATE TABLE about (format, digest, codes, dimension)")
                connection.execute("CREATE TABLE states (key BLOB PRIMARY KEY, record BLOB)")
                connection.execute("INSERT INTO about VALUES (?, ?, ?, ?)", self._about)
            # Not required of a file: older ones have no segments, and valid records.
            connection.execute(
                "CREATE TABLE IF NOT EXISTS cuts (key BLOB PRIMARY KEY, cut BLOB)"
            )
            yield connection

    def _is_own(self, connection: sqlite3.Connection) -> bool:
        tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('about', 'states')"
        if connection.execute(tables).fetchone()[0] != 2:
            return False
        about: list[tuple[object, ...]] = connection.execute("SELECT * FROM about").fetchall()
        return about == [self._about]

    def _note_damage(self, error: Failure) -> None:
        # A write might not meet the damaged pages: only a new file is sure.
        self._damaged = self._damaged or error_code(error) in _DAMAGED
        self._sqlite.close()

    def _delete(self) -> None:
        self._damaged = False
        self._sqlite.delete()


class MemoryStates(StateStore):
    """A `StateStore` without a file: what is stored is held until it is taken.

    For a process that makes states for the file of another one. Not thread-safe.
    """

    def __init__(self, *, digest: str, codes: int, dimension: int) -> None:
        super().__init__(Path(), digest=digest, codes=codes, dimension=dimension)
        self._records: dict[bytes, Record] = {}
        self._segments: dict[bytes, Segments] = {}

    def get(self, keys: Sequence[bytes]) -> StoreLookup:
        """Return the records that are held."""
        return StoreLookup({key: self._records[key] for key in keys if key in self._records})

    def missing(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return the keys without a record, each once, in order."""
        return [key for key in dict.fromkeys(keys) if key not in self._records]

    def put(self, records: Iterable[tuple[bytes, Record]]) -> str | None:
        """Hold records."""
        self._records.update(records)
        return None

    def get_segments(self, keys: Sequence[bytes]) -> dict[bytes, Segments]:
        """Return the segments that are held."""
        return {key: self._segments[key] for key in keys if key in self._segments}

    def put_segments(self, segments: Mapping[bytes, Segments]) -> None:
        """Hold segments."""
        self._segments.update(segments)

    def take(self) -> tuple[dict[bytes, Record], dict[bytes, Segments]]:
        """Return all that is held, in the order in which it was stored, and forget it."""
        records, segments = self._records, self._segments
        self._records, self._segments = {}, {}
        return records, segments


def _in_parts(keys: Sequence[bytes], size: int = _AT_ONCE) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _has_table(connection: sqlite3.Connection, table: str) -> bool:
    rows = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table])
    return rows.fetchone() is not None


def _file_size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
