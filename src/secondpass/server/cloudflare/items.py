"""The files of an instance: put in, taken out, and handed to who indexes them.

Which reader an uploaded file is for.

One file of an instance, as it is recorded and as clients see it.

What happened to files.

The files as they were uploaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.errors import IndexStoreError
from secondpass.retrieve.loaders import LOADERS
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.filters import Field, Value, columns, folder_of
from secondpass.server.cloudflare.responses import iso, now

_PLAIN = ".txt"
_BY_TYPE = {
    "text/html": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
}
# A few megabytes of these can unpack to as many gigabytes.
_NOT_READ = (".parquet", ".gz")


def suffix_for(key: str, content_type: str) -> str:
    """Return the suffix under which a file is stored, which chooses its reader.

    What has no suffix goes by its content type; any other file is tried as plain text.
    """
    suffix = suffix_of(Path(key))
    if suffix.endswith(_NOT_READ):
        return suffix
    if suffix in LOADERS:
        return suffix
    kind = content_type.partition(";")[0].strip().lower()
    return _PLAIN if suffix else _BY_TYPE.get(kind, _PLAIN)


def is_packed(suffix: str) -> bool:
    """Return whether files that end so are not read."""
    return suffix.endswith(_NOT_READ)


STATUSES = ("queued", "running", "completed", "error", "skipped", "outdated")
SETTLED = ("completed", "error", "skipped")
BUILT_IN = "builtin"
"""What the source of an uploaded file is called."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file: moments are in milliseconds, `documents` counts what it is in the index.

    - `file`: its name among the raw files; `metadata`: as it was given.
    - `revision`: goes up with each upload and each change; `attempts`: how often its
      indexing was begun and not ended.
    """

    id: str
    key: str
    file: str
    content_type: str
    checksum: str
    size: int
    metadata: dict[str, Any]
    status: str
    next_action: str | None
    error: str | None
    job: str | None
    created_at: int
    modified_at: int
    seen_at: int
    revision: int
    attempts: int
    documents: int
    chunks: int | None

    @staticmethod
    def of(row: sqlite3.Row) -> Item:
        """Return the item of a row."""
        return Item(**{**dict(row), "metadata": json.loads(row["metadata"])})

    @property
    def deleted(self) -> bool:
        """Whether it only waits for its chunks to be taken out."""
        return self.next_action == "DELETE"

    def document(self, number: int) -> str:
        """Return the id in the index of the file's document of this number, from 0."""
        return f"{self.id}.{number}"

    def columns(self, fields: Mapping[str, Field]) -> dict[str, Value]:
        """Return what the index keeps of its metadata."""
        return columns(fields, self.key, self.modified_at, self.metadata)

    def shown_metadata(self) -> dict[str, Any]:
        """Return the metadata as clients see it."""
        own = {"filename": self.key, "folder": folder_of(self.key)}
        return {**self.metadata, **own, "timestamp": self.modified_at}

    def shown(self, namespace: str) -> dict[str, Any]:
        """Return the item as clients see it."""
        found: dict[str, Any] = {
            "id": self.id,
            "key": self.key,
            "checksum": self.checksum,
            "status": self.status,
            "created_at": iso(self.created_at),
            "last_seen_at": iso(self.seen_at),
            "namespace": namespace,
            "next_action": self.next_action,
            "chunks_count": self.chunks,
            "file_size": self.size,
            "source_id": BUILT_IN,
            "metadata": self.shown_metadata(),
        }
        return found if self.error is None else {**found, "error": self.error}


_KEPT = 100


class ItemLog:
    """The last things that happened to each file of an instance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        item: Item,
        action: str,
        message: str | None = None,
        *,
        chunks: int | None = None,
        error: str | None = None,
        milliseconds: int | None = None,
    ) -> None:
        """Note something; the oldest of more than a hundred goes."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO item_logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
                (item.id, now(), action, message, chunks, error, milliseconds),
            )
            connection.execute(
                "DELETE FROM item_logs WHERE item = ?1 AND number <= (SELECT number FROM "
                "item_logs WHERE item = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (item.id, _KEPT),
            )

    def read(self, item: Item, *, before: int | None, count: int) -> list[dict[str, Any]]:
        """Return the newest entries, of those older than entry `before`, as clients see them.

        The key `number` is what the next page begins before.
        """
        rows = self._database.rows(
            "SELECT * FROM item_logs WHERE item = ? AND number < ? "
            "ORDER BY number DESC LIMIT ?",
            item.id,
            2**62 if before is None else before,
            count,
        )
        return [_shown(row, item.key) for row in rows]


def _shown(row: sqlite3.Row, key: str) -> dict[str, Any]:
    optional = {
        "message": row["message"],
        "chunkCount": row["chunks"],
        "errorType": row["error"],
        "processingTimeMs": row["milliseconds"],
    }
    known = {name: value for name, value in optional.items() if value is not None}
    always = {"action": row["action"], "fileKey": key, "timestamp": iso(row["at"])}
    return {"number": row["number"], **always, **known}


_FOLDER = "files"
_ABANDONED_SECONDS = 3600.0


class RawFiles:
    """A folder of files that are written once and never changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _FOLDER

    def write(self, item: str, data: bytes, suffix: str) -> tuple[str, str]:
        """Store a file; return its name here and its SHA-256, once it is on the disk."""
        checksum = hashlib.sha256(data).hexdigest()
        name = f"{item}-{checksum[:32]}{suffix}"
        path = self.folder / name
        self.folder.mkdir(exist_ok=True)
        beside = path.with_name(f".{name}.{time.monotonic_ns()}.tmp")
        try:
            with beside.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        for folder in (self.folder, self.folder.parent):
            _sync(folder)
        return name, checksum

    def path(self, name: str) -> Path:
        """Return where a file is."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def tidy(self, known: Container[str]) -> None:
        """Remove what a crash has left: old files that nothing knows of."""
        if not self.folder.is_dir():
            return
        oldest = time.time() - _ABANDONED_SECONDS
        for path in self.folder.iterdir():
            # A young one may be on its way into the database.
            if path.name not in known and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make the names in a folder last; not every system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_LIVE = "next_action IS NOT 'DELETE'"
_CHOSEN = f"SELECT * FROM items WHERE {_LIVE}"
_CHANGED = "revision = revision + 1, attempts = 0, error = NULL"
_PARAMETERS = 500


class Items:
    """The record of an instance's files.

    Every change is on the disk when its method returns. Safe to use from several threads.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self._database, self.raw = database, RawFiles(folder)
        with database.writing() as connection:
            # Nobody else indexes: what was under way when a process ended begins again.
            connection.execute(
                "UPDATE items SET status = 'queued', next_action = 'INDEX' "
                f"WHERE status = 'running' AND {_LIVE}"
            )
            connection.execute("UPDATE items SET attempts = 0 WHERE next_action = 'DELETE'")
        self.raw.tidy({row["file"] for row in database.rows("SELECT file FROM items")})

    def put(
        self, key: str, data: bytes, suffix: str, content_type: str, metadata: Mapping[str, Any]
    ) -> Item:
        """Store a file, in the place of one with the same key, and queue it."""
        before = self.by_key(key)
        number = uuid.uuid4().hex if before is None else before.id
        try:
            name, checksum = self.raw.write(number, data, suffix)
        except OSError as error:
            raise IndexStoreError("the file was not stored", why=error.strerror) from error
        values = (name, content_type, checksum, len(data), json.dumps(dict(metadata)), now())
        with self._database.writing() as connection:
            # Looked up again: another upload of the key may have come first.
            row = connection.execute(f"{_CHOSEN} AND key = ?", (key,)).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', 'INDEX', "
                    "NULL, NULL, ?8, ?8, ?8, 0, 0, 0, NULL)",
                    (number, key, *values),
                )
            else:
                number = row["id"]
                connection.execute(
                    "UPDATE items SET file = ?2, content_type = ?3, checksum = ?4, size = ?5, "
                    "metadata = ?6, modified_at = ?7, seen_at = ?7, status = 'queued', "
                    f"next_action = 'INDEX', job = NULL, {_CHANGED} WHERE id = ?1",
                    (number, *values),
                )
        if row is not None and row["file"] != name:
            self.raw.remove(row["file"])
        return self._found(number)

    def get(self, number: str) -> Item | None:
        """Return a file by its id, or None."""
        row = self._database.one(f"{_CHOSEN} AND id = ?", number)
        return None if row is None else Item.of(row)

    def by_key(self, key: str) -> Item | None:
        """Return a file by its key, or None."""
        row = self._database.one(f"{_CHOSEN} AND key = ?", key)
        return None if row is None else Item.of(row)

    def by_ids(self, numbers: Sequence[str]) -> dict[str, Item]:
        """Return those files that are there."""
        found: dict[str, Item] = {}
        for start in range(0, len(numbers), _PARAMETERS):
            some = numbers[start : start + _PARAMETERS]
            marks = ", ".join("?" * len(some))
            for row in self._database.rows(f"{_CHOSEN} AND id IN ({marks})", *some):
                found[row["id"]] = Item.of(row)
        return found

    def queue(self, number: str) -> Item | None:
        """Let a file be indexed again; return it, or None where there is none."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE items SET status = 'queued', next_action = 'INDEX', job = NULL, "
                f"seen_at = ?, {_CHANGED} WHERE id = ? AND {_LIVE}",
                (now(), number),
            )
        return self.get(number)

    def delete(self, number: str) -> Item | None:
        """Take a file out, from this moment on; what is left of it goes in its turn."""
        found = self.get(number)
        if found is not None:
            with self._database.writing() as connection:
                connection.execute(
                    "UPDATE items SET next_action = 'DELETE', attempts = 0, "
                    "revision = revision + 1 WHERE id = ?",
                    (number,),
                )
        return found

    def counts(self) -> dict[str, int]:
        """Return how many files have each status."""
        rows = self._database.rows(
            f"SELECT status, COUNT(*) AS n FROM items WHERE {_LIVE} GROUP BY status"
        )
        return {row["status"]: row["n"] for row in rows}

    def totals(self) -> tuple[int, int, int, int | None]:
        """Return how many files there are, their bytes, those of their metadata, and when
        one was last touched.
        """
        row = self._database.one(
            "SELECT COUNT(*) AS n, COALESCE(SUM(size), 0) AS bytes, "
            f"COALESCE(SUM(LENGTH(metadata)), 0) AS more, MAX(seen_at) AS at FROM items "
            f"WHERE {_LIVE}"
        )
        assert row is not None
        return row["n"], row["bytes"], row["more"], row["at"]

    def errors(self) -> dict[str, int]:
        """Return how many files have each error."""
        rows = self._database.rows(
            "SELECT error, COUNT(*) AS n FROM items WHERE status = 'error' AND error NOT NULL "
            f"AND {_LIVE} GROUP BY error ORDER BY n DESC LIMIT 100"
        )
        return {row["error"]: row["n"] for row in rows}

    def _found(self, number: str) -> Item:
        row = self._database.one("SELECT * FROM items WHERE id = ?", number)
        assert row is not None
        return Item.of(row)
