"""Scores of pairs in memory and in an SQLite file that processes share.

In WAL mode readers do not wait for the writer, and a process that is killed at any moment
loses at most what it was writing. A score can always be computed again, so nothing here fails
a search: what cannot be read counts as absent, and the reason is returned.
"""

from __future__ import annotations

import math
import sqlite3
import struct
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from secondpass.rerank.score import Score, WindowScore
from secondpass.storage import (
    BUSY,
    DAMAGED,
    FAILURES,
    Failure,
    SqliteFile,
    add_checksum,
    describe_failure,
    error_code,
    failure_reason,
    select_by_key,
    verify_checksum,
)
from secondpass.types import ScoreKind

# In `PRAGMA user_version`.
FORMAT = 1

# value, probability (NaN for none), windows, unread, kind
_FIELDS = struct.Struct("<ddIQB")
# Behind these, where it is known: start, end and value of the best window.
_WINDOW = struct.Struct("<QQd")
MAX_PACKED = 4 + _FIELDS.size + _WINDOW.size
"""The most bytes that `pack` returns, its checksum included."""
_KINDS = (ScoreKind.LOGIT, ScoreKind.PROBABILITY, ScoreKind.SIMILARITY)


class CachedScore(NamedTuple):
    """A score and its kind."""

    score: Score
    kind: ScoreKind


def is_cacheable(score: Score, kind: ScoreKind) -> bool:
    """Return whether a score depends on its pair alone, and `pack` keeps what results have."""
    return kind in _KINDS and score.scored and not score.parts and math.isfinite(score.value)


def pack(key: bytes, cached: CachedScore) -> bytes:
    """Return a score as bytes, with a checksum of score and key; of windows only the best."""
    score, kind = cached
    probability = math.nan if score.probability is None else score.probability
    data = _FIELDS.pack(
        score.value, probability, score.windows, score.unread, _KINDS.index(kind)
    )
    if score.window_scores:
        best = max(score.window_scores, key=lambda window: (window.value, -window.start))
        data += _WINDOW.pack(best.start, best.end, best.value)
    return add_checksum(key, data)


def unpack(key: bytes, packed: bytes) -> CachedScore:
    """Return what `pack` kept, to the last bit; raises ValueError for damaged bytes."""
    data = verify_checksum(key, packed)
    if len(data) not in (_FIELDS.size, _FIELDS.size + _WINDOW.size):
        raise ValueError(f"{len(data)} bytes are not a score")
    value, probability, windows, unread, kind = _FIELDS.unpack_from(data)
    probability = None if math.isnan(probability) else probability
    best = data[_FIELDS.size :]
    found = (WindowScore(*_WINDOW.unpack(best)),) if best else ()
    score = Score(value, probability, windows, unread, window_scores=found)
    return CachedScore(score, _KINDS[kind])


class SharedScores(Protocol):
    """Scores by the key of their pair, in a place that processes share.

    Thread-safe. Never raises for what happens to the place: what cannot be read counts as
    absent, and the reason is returned.
    """

    def get(self, keys: Sequence[bytes]) -> tuple[dict[bytes, CachedScore], str | None]:
        """Return the scores that are stored, and what went wrong, if anything did."""

    def put(self, scores: Mapping[bytes, CachedScore]) -> str | None:
        """Store scores; return what went wrong, if anything did."""

    def size(self) -> tuple[int, int]:
        """Return the number of scores and of bytes; 0, 0 where they are not known."""

    def close(self) -> None:
        """Close the place; it is opened again when it is needed."""


class ScoreMemory:
    """The scores used last, at most `limit` of them; thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._scores: OrderedDict[bytes, CachedScore] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, CachedScore]:
        """Return the scores that are cached, and mark them as used."""
        scores: dict[bytes, CachedScore] = {}
        with self._lock:
            for key in keys:
                cached = self._scores.get(key)
                if cached is not None:
                    self._scores.move_to_end(key)
                    scores[key] = cached
        return scores

    def put(self, scores: Mapping[bytes, CachedScore]) -> None:
        """Store scores, in place of those least recently used."""
        with self._lock:
            for key, cached in scores.items():
                self._scores[key] = cached
                self._scores.move_to_end(key)
            while len(self._scores) > self.limit:
                self._scores.popitem(last=False)


class ScoreStore:
    """Scores by the key of their pair, in a file of about `max_bytes`; oldest out first.

    A damaged file is renamed to NAME.damaged and a new one begun. Nothing is opened or made
    before the first use. Thread-safe, and several processes may read and write at once.
    """

    def __init__(self, file: Path, *, max_bytes: int) -> None:
        self.file = file
        self.max_bytes = max_bytes
        self._sqlite = SqliteFile(
            file,
            # In WAL mode this survives a power cut too, and waits for the disk seldom.
            pragmas=("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"),
            prepare=_create_table,
        )

    def get(self, keys: Sequence[bytes]) -> tuple[dict[bytes, CachedScore], str | None]:
        """Return the scores that are stored, and what went wrong, if anything did."""
        scores: dict[bytes, CachedScore] = {}
        damaged = 0
        with self._sqlite.lock:
            try:
                if not keys or not self.file.is_file():
                    return scores, None
                rows = select_by_key(self._sqlite.connect(), "scores", keys)
            except (*FAILURES, OSError) as error:
                return {}, self._handle(error)
        for key, packed in rows:
            try:
                scores[key] = unpack(key, packed)
            except (ValueError, TypeError, IndexError):
                damaged += 1
        return scores, f"{self.file.name} has {damaged} damaged scores" if damaged else None

    def put(self, scores: Mapping[bytes, CachedScore]) -> str | None:
        """Store scores in one transaction; return what went wrong, if anything did."""
        rows = [(key, pack(key, cached)) for key, cached in scores.items()]
        with self._sqlite.lock:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self._sqlite.transaction() as connection:
                    connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
                    self._evict(connection)
            except (*FAILURES, OSError) as error:
                return self._handle(error)
        return None

    def size(self) -> tuple[int, int]:
        """Return the number of scores and of bytes; 0, 0 where no file can be read."""
        with self._sqlite.lock:
            try:
                if not self.file.is_file():
                    return 0, 0
                connection = self._sqlite.connect()
                (count,) = connection.execute("SELECT count(*) FROM scores").fetchone()
                return int(count), _used_bytes(connection)
            except (*FAILURES, OSError) as error:
                self._handle(error)
                return 0, 0

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._sqlite.lock:
            self._sqlite.close()

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest scores, a tenth at a time, until the rest fits."""
        while _used_bytes(connection) > self.max_bytes:
            (rows,) = connection.execute("SELECT count(*) FROM scores").fetchone()
            if not rows:
                return
            connection.execute(
                "DELETE FROM scores WHERE rowid IN "
                "(SELECT rowid FROM scores ORDER BY rowid LIMIT ?)",
                (max(1, rows // 10),),
            )

    def _handle(self, error: Failure | OSError) -> str | None:
        # Another process may have put a new file there already.
        replaced = self._sqlite.was_replaced()
        self._sqlite.close()
        if isinstance(error, OSError):
            return f"{self.file.name} could not be used: {error.strerror}"
        code = error_code(error)
        if code in DAMAGED and not replaced:
            self._sqlite.set_aside()
            return f"{self.file.name} was damaged and set aside: {failure_reason(error)}"
        # While another process writes for long, this one does without the cache.
        return None if code in BUSY else describe_failure(self.file, error)


def _create_table(connection: sqlite3.Connection) -> None:
    """Create the table in an empty file; raise for a file that holds anything else."""
    if _version(connection) == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection)
    if version != FORMAT:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version or tables:
            raise sqlite3.DatabaseError("it is another database, or of another version")
        connection.execute(
            "CREATE TABLE scores (key BLOB NOT NULL UNIQUE, score BLOB NOT NULL)"
        )
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free_pages, page_size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free_pages) * page_size
