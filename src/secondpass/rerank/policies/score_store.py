"""Scores on disk, in one SQLite file that processes share.

In WAL mode readers do not wait for the writer, and a process that is killed at any moment
costs at most what it was writing. What is kept can always be computed again, so nothing
here fails a search: what cannot be read is not found, and the caller is told why.

The scores used last, in memory.

A kept score as bytes, with a checksum.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from secondpass.rerank.base import Score
from secondpass.storage import BUSY, DAMAGED, FAILURES, Failure, error_code, reason, told
from secondpass.types import ScoreKind


class Kept(NamedTuple):
    """A score, and what kind it is."""

    score: Score
    kind: ScoreKind


class ScoreMemory:
    """Keeps the scores used last, at most `limit` of them; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Kept]:
        """Return those that are kept, and count them as used."""
        found: dict[bytes, Kept] = {}
        with self._lock:
            for key in keys:
                kept = self._kept.get(key)
                if kept is not None:
                    self._kept.move_to_end(key)
                    found[key] = kept
        return found

    def put(self, scores: Mapping[bytes, Kept]) -> None:
        """Keep scores, in place of those not used for longest."""
        with self._lock:
            for key, kept in scores.items():
                self._kept[key] = kept
                self._kept.move_to_end(key)
            while len(self._kept) > self.limit:
                self._kept.popitem(last=False)


# value, probability (NaN for none), windows, unread, kind
_FIELDS = struct.Struct("<ddIQB")
_CHECKSUM = struct.Struct("<I")
_KINDS = (ScoreKind.LOGIT, ScoreKind.PROBABILITY, ScoreKind.SIMILARITY)


def can_keep(score: Score, kind: ScoreKind) -> bool:
    """Return whether a score is one of a pair, and nothing of it would be lost."""
    return kind in _KINDS and score.scored and not score.parts and math.isfinite(score.value)


def pack(key: bytes, kept: Kept) -> bytes:
    """Return the bytes of a score; the checksum is also of its key."""
    score, kind = kept
    probability = math.nan if score.probability is None else score.probability
    data = _FIELDS.pack(
        score.value, probability, score.windows, score.unread, _KINDS.index(kind)
    )
    return _CHECKSUM.pack(_sum(key, data)) + data


def unpack(key: bytes, packed: bytes) -> Kept:
    """Return what `pack` was given, to the last bit; raises ValueError for damaged bytes."""
    data = packed[_CHECKSUM.size :]
    if len(data) != _FIELDS.size or packed[: _CHECKSUM.size] != _CHECKSUM.pack(_sum(key, data)):
        raise ValueError("the checksum is not that of the score")
    value, probability, windows, unread, kind = _FIELDS.unpack(data)
    chance = None if math.isnan(probability) else probability
    return Kept(Score(value, chance, windows, unread), _KINDS[kind])


def _sum(key: bytes, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key))


# In `PRAGMA user_version`.
FORMAT = 1

# Long enough for another process to finish its write, too short to spoil a search.
_PATIENCE_SECONDS = 1.0
_PARAMETERS = 500

# Connections that a parent process opened: closing one here would break the parent's.
_inherited: list[sqlite3.Connection] = []


class ScoreStore:
    """Keeps scores by the key of their pair, in at most about `max_bytes`, oldest out first.

    A damaged file is renamed to NAME.damaged and a new one begun. Nothing is opened or made
    before the first use. Safe to use from several threads, and several processes may read
    and write at once.
    """

    def __init__(self, file: Path, *, max_bytes: int) -> None:
        self.file = file
        self.max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    def get(self, keys: Sequence[bytes]) -> tuple[dict[bytes, Kept], str | None]:
        """Return those scores that are kept, and what was wrong, if anything was."""
        found: dict[bytes, Kept] = {}
        damaged = 0
        with self._lock:
            try:
                rows = self._select(keys)
            except (*FAILURES, OSError) as error:
                return {}, self._gave_up(error)
        for key, packed in rows:
            try:
                found[key] = unpack(key, packed)
            except (ValueError, TypeError, IndexError):
                damaged += 1
        return found, f"{self.file.name} holds {damaged} damaged scores" if damaged else None

    def put(self, scores: Mapping[bytes, Kept]) -> str | None:
        """Keep scores in one step, all or none; return what was wrong, if anything was."""
        rows = [(key, pack(key, kept)) for key, kept in scores.items()]
        with self._lock:
            try:
                with self._writing() as connection:
                    connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
                    self._evict(connection)
            except (*FAILURES, OSError) as error:
                return self._gave_up(error)
        return None

    def size(self) -> tuple[int, int]:
        """Return how many scores are kept and in how many bytes; 0, 0 for no readable file."""
        with self._lock:
            try:
                if not self.file.is_file():
                    return 0, 0
                connection = self._connect()
                (count,) = connection.execute("SELECT count(*) FROM scores").fetchone()
                return int(count), _bytes(connection)
            except (*FAILURES, OSError) as error:
                self._gave_up(error)
                return 0, 0

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        with self._lock:
            self._disconnect()

    def __del__(self) -> None:
        self._disconnect()

    def _select(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        rows: list[tuple[bytes, bytes]] = []
        if not keys or not self.file.is_file():
            return rows
        connection = self._connect()
        for start in range(0, len(keys), _PARAMETERS):
            some = keys[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, score FROM scores WHERE key IN ({marks})"
            rows += connection.execute(query, some).fetchall()
        return rows

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connect()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(*FAILURES):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest scores, a tenth at a time, until the rest fits."""
        while _bytes(connection) > self.max_bytes:
            (rows,) = connection.execute("SELECT count(*) FROM scores").fetchone()
            if not rows:
                return
            connection.execute(
                "DELETE FROM scores WHERE rowid IN "
                "(SELECT rowid FROM scores ORDER BY rowid LIMIT ?)",
                (max(1, rows // 10),),
            )

    def _connect(self) -> sqlite3.Connection:
        """Return the connection to the file that lies there now, by this process."""
        if self._connection is not None and self._opened == self._place():
            return self._connection
        self._disconnect()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.file,
            timeout=_PATIENCE_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection = connection
        if _version(connection) != FORMAT:
            _prepare(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode that survives a power cut too, and waits for the disk seldom.
        connection.execute("PRAGMA synchronous = NORMAL")
        self._opened = self._place()
        return connection

    def _disconnect(self) -> None:
        connection, opened = self._connection, self._opened
        self._connection = self._opened = None
        if connection is None:
            return
        if opened is not None and opened[0] != os.getpid():
            _inherited.append(connection)
            return
        connection.close()

    def _place(self) -> tuple[int, int, int] | None:
        try:
            there = self.file.stat()
        except OSError:
            return None
        return os.getpid(), there.st_dev, there.st_ino

    def _gave_up(self, error: Failure | OSError) -> str | None:
        opened = self._opened
        self._disconnect()
        if isinstance(error, OSError):
            return f"{self.file.name} could not be used: {error.strerror}"
        code = error_code(error)
        # Another process may have put a new file there already.
        if code in DAMAGED and (opened is None or opened == self._place()):
            self._set_aside()
            return f"{self.file.name} was damaged and set aside: {reason(error)}"
        # Who finds another process writing for long does without, and nothing is wrong.
        return None if code in BUSY else told(self.file, error)

    def _set_aside(self) -> None:
        # The log first: left alone, SQLite would play it back into the next file.
        for end in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                self.file.with_name(f"{self.file.name}{end}").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.file.replace(self.file.with_name(f"{self.file.name}.damaged"))


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table in an empty file; raise for one that holds anything else."""
    connection.execute("BEGIN IMMEDIATE")
    known = _version(connection)
    if known != FORMAT:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if known or tables:
            raise sqlite3.DatabaseError("it is another database, or of another version")
        connection.execute(
            "CREATE TABLE scores (key BLOB NOT NULL UNIQUE, score BLOB NOT NULL)"
        )
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _bytes(connection: sqlite3.Connection) -> int:
    values = [
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    ]
    return (values[0] - values[1]) * values[2]
