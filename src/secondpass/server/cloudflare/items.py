"""Items of an instance: the uploaded files, their records in the database, and their log."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from secondpass.errors import IndexStoreError
from secondpass.retrieve.loaders import LOADERS
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.filters import ColumnValue, Field, folder_of, index_columns
from secondpass.server.cloudflare.responses import now_ms, to_iso
from secondpass.storage import replace_file, sync_folder

MAX_FILE_BYTES = 4 * 1024 * 1024
"""The size of a file; also how many characters of text are read of one."""
_TEXT_SUFFIX = ".txt"
_SUFFIX_BY_TYPE = {
    "text/html": ".html",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
}
# A few megabytes of these can unpack to as many gigabytes.
_COMPRESSED_SUFFIXES = (".parquet", ".gz")


def storage_suffix(key: str, content_type: str) -> str:
    """Return the suffix under which a file is stored, which selects its loader.

    A key without a suffix goes by the content type; unknown suffixes are read as plain text.
    """
    suffix = suffix_of(Path(key))
    if is_compressed(suffix):
        return suffix
    if suffix in LOADERS:
        return suffix
    media_type = content_type.partition(";")[0].strip().lower()
    return _TEXT_SUFFIX if suffix else _SUFFIX_BY_TYPE.get(media_type, _TEXT_SUFFIX)


def is_compressed(suffix: str) -> bool:
    """Return whether files with this suffix are rejected because of what they may unpack to."""
    return suffix.endswith(_COMPRESSED_SUFFIXES)


STATUSES = ("queued", "running", "completed", "error", "skipped", "outdated")
FINAL_STATUSES = ("completed", "error", "skipped")
UPLOAD_SOURCE = "builtin"
"""The source id of uploaded files."""


@dataclass(frozen=True, slots=True)
class Item:
    """An uploaded file; times are in milliseconds.

    - `file`: its name among the raw files; `metadata`: as the client sent it.
    - `revision` grows with each upload and each change; `attempts`: how often its indexing
      was started and not finished; `documents`: how many documents the index may hold of it.
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
    def from_row(row: sqlite3.Row) -> Item:
        """Return the item of a database row."""
        return Item(**{**dict(row), "metadata": json.loads(row["metadata"])})

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted and its chunks are still to be removed from the index."""
        return self.next_action == "DELETE"

    def document_id(self, number: int) -> str:
        """Return the id in the index of one of its documents, counted from 0."""
        return f"{self.id}.{number}"

    def index_columns(self, fields: Mapping[str, Field]) -> dict[str, ColumnValue]:
        """Return its metadata as the index stores it."""
        return index_columns(fields, self.key, self.modified_at, self.metadata)

    def metadata_json(self) -> dict[str, Any]:
        """Return its metadata as clients see it."""
        built_in = {"filename": self.key, "folder": folder_of(self.key)}
        return {**self.metadata, **built_in, "timestamp": self.modified_at}

    def to_json(self, namespace: str) -> dict[str, Any]:
        """Return the item as clients see it."""
        body: dict[str, Any] = {
            "id": self.id,
            "key": self.key,
            "checksum": self.checksum,
            "status": self.status,
            "created_at": to_iso(self.created_at),
            "last_seen_at": to_iso(self.seen_at),
            "namespace": namespace,
            "next_action": self.next_action,
            "chunks_count": self.chunks,
            "file_size": self.size,
            "source_id": UPLOAD_SOURCE,
            "metadata": self.metadata_json(),
        }
        if self.error is None:
            return body
        if self.status == "completed":
            # It can be searched, but not all of it.
            return {**body, "warnings": [{"code": "incomplete", "message": self.error}]}
        return {**body, "error": self.error}


_MAX_LOG_ENTRIES = 100


class ItemLog:
    """The last hundred log entries of each item."""

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
        """Add an entry and drop the oldest beyond the limit."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO item_logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
                (item.id, now_ms(), action, message, chunks, error, milliseconds),
            )
            connection.execute(
                "DELETE FROM item_logs WHERE item = ?1 AND number <= (SELECT number FROM "
                "item_logs WHERE item = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (item.id, _MAX_LOG_ENTRIES),
            )

    def read(self, item: Item, *, before: int | None, count: int) -> list[dict[str, Any]]:
        """Return the newest entries older than entry `before`, as clients see them.

        `number` of the last one is the `before` of the next page.
        """
        rows = self._database.fetch_all(
            "SELECT * FROM item_logs WHERE item = ? AND number < ? "
            "ORDER BY number DESC LIMIT ?",
            item.id,
            2**62 if before is None else before,
            count,
        )
        return [_log_entry(row, item.key) for row in rows]


def _log_entry(row: sqlite3.Row, key: str) -> dict[str, Any]:
    optional = {
        "message": row["message"],
        "chunkCount": row["chunks"],
        "errorType": row["error"],
        "processingTimeMs": row["milliseconds"],
    }
    present = {name: value for name, value in optional.items() if value is not None}
    required = {"action": row["action"], "fileKey": key, "timestamp": to_iso(row["at"])}
    return {"number": row["number"], **required, **present}


_FOLDER = "files"
_ORPHAN_AGE_SECONDS = 3600.0


class RawFiles:
    """A folder of uploaded files, each written once and never changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _FOLDER

    def write(self, item_id: str, data: bytes, suffix: str) -> tuple[str, str]:
        """Store a file durably; return its name in the folder and its SHA-256."""
        checksum = hashlib.sha256(data).hexdigest()
        name = f"{item_id}-{checksum[:32]}{suffix}"
        self.folder.mkdir(exist_ok=True)
        replace_file(self.folder / name, data)
        sync_folder(self.folder.parent)
        return name, checksum

    def path(self, name: str) -> Path:
        """Return the path of a file."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        self.path(name).unlink(missing_ok=True)

    def remove_orphans(self, known: Container[str]) -> None:
        """Remove old files without a record, which a crash has left."""
        if not self.folder.is_dir():
            return
        oldest = time.time() - _ORPHAN_AGE_SECONDS
        for path in self.folder.iterdir():
            # The record of a recent one may not be in the database yet.
            if path.name not in known and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


class ItemTotals(NamedTuple):
    """Sums over the items of an instance; `last_seen` is in milliseconds."""

    files: int
    bytes: int
    metadata_bytes: int
    last_seen: int | None


_LIVE = "next_action IS NOT 'DELETE'"
_SELECT_LIVE = f"SELECT * FROM items WHERE {_LIVE}"
_RESET = "revision = revision + 1, attempts = 0, error = NULL"
_MAX_PARAMETERS = 500


class ItemStore:
    """The items of an instance. Changes are durable when a method returns. Thread-safe."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._database, self.raw = database, RawFiles(folder)
        with database.transaction() as connection:
            # What a crash interrupted starts again: no other process indexes this instance.
            connection.execute(
                "UPDATE items SET status = 'queued', next_action = 'INDEX' "
                f"WHERE status = 'running' AND {_LIVE}"
            )
            connection.execute("UPDATE items SET attempts = 0 WHERE next_action = 'DELETE'")
        rows = database.fetch_all("SELECT file FROM items")
        self.raw.remove_orphans({row["file"] for row in rows})

    def put(
        self, key: str, data: bytes, suffix: str, content_type: str, metadata: Mapping[str, Any]
    ) -> Item:
        """Store and queue a file; it replaces the one with the same key."""
        previous = self.get_by_key(key)
        item_id = uuid.uuid4().hex if previous is None else previous.id
        try:
            name, checksum = self.raw.write(item_id, data, suffix)
        except OSError as error:
            raise IndexStoreError("the file was not stored", why=error.strerror) from error
        values = (name, content_type, checksum, len(data), json.dumps(dict(metadata)), now_ms())
        with self._database.transaction() as connection:
            # Looked up again: a concurrent upload of the same key may have come first.
            row = connection.execute(f"{_SELECT_LIVE} AND key = ?", (key,)).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', 'INDEX', "
                    "NULL, NULL, ?8, ?8, ?8, 0, 0, 0, NULL)",
                    (item_id, key, *values),
                )
            else:
                item_id = row["id"]
                connection.execute(
                    "UPDATE items SET file = ?2, content_type = ?3, checksum = ?4, size = ?5, "
                    "metadata = ?6, modified_at = ?7, seen_at = ?7, status = 'queued', "
                    f"next_action = 'INDEX', job = NULL, {_RESET} WHERE id = ?1",
                    (item_id, *values),
                )
        if row is not None and row["file"] != name:
            self.raw.remove(row["file"])
        stored = self._database.fetch_one("SELECT * FROM items WHERE id = ?", item_id)
        assert stored is not None
        return Item.from_row(stored)

    def get(self, item_id: str) -> Item | None:
        """Return an item by its id, or None."""
        row = self._database.fetch_one(f"{_SELECT_LIVE} AND id = ?", item_id)
        return None if row is None else Item.from_row(row)

    def get_by_key(self, key: str) -> Item | None:
        """Return an item by its key, or None."""
        row = self._database.fetch_one(f"{_SELECT_LIVE} AND key = ?", key)
        return None if row is None else Item.from_row(row)

    def get_many(self, item_ids: Sequence[str]) -> dict[str, Item]:
        """Return the existing items of these ids."""
        items: dict[str, Item] = {}
        for start in range(0, len(item_ids), _MAX_PARAMETERS):
            batch = item_ids[start : start + _MAX_PARAMETERS]
            marks = ", ".join("?" * len(batch))
            for row in self._database.fetch_all(f"{_SELECT_LIVE} AND id IN ({marks})", *batch):
                items[row["id"]] = Item.from_row(row)
        return items

    def requeue(self, item_id: str) -> Item | None:
        """Queue an item to be indexed again and return it; None if it does not exist."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE items SET status = 'queued', next_action = 'INDEX', job = NULL, "
                f"seen_at = ?, {_RESET} WHERE id = ? AND {_LIVE}",
                (now_ms(), item_id),
            )
        return self.get(item_id)

    def delete(self, item_id: str) -> Item | None:
        """Delete an item: no search returns it from now on; its chunks are removed later."""
        item = self.get(item_id)
        if item is not None:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE items SET next_action = 'DELETE', attempts = 0, "
                    "revision = revision + 1 WHERE id = ?",
                    (item_id,),
                )
        return item

    def status_counts(self) -> dict[str, int]:
        """Return how many items have each status."""
        rows = self._database.fetch_all(
            f"SELECT status, COUNT(*) AS n FROM items WHERE {_LIVE} GROUP BY status"
        )
        return {row["status"]: row["n"] for row in rows}

    def totals(self) -> ItemTotals:
        """Return the number of items, their sizes, and when one was last changed."""
        row = self._database.fetch_one(
            "SELECT COUNT(*) AS n, COALESCE(SUM(size), 0) AS bytes, "
            f"COALESCE(SUM(LENGTH(metadata)), 0) AS metadata, MAX(seen_at) AS at FROM items "
            f"WHERE {_LIVE}"
        )
        assert row is not None
        return ItemTotals(row["n"], row["bytes"], row["metadata"], row["at"])

    def error_counts(self) -> dict[str, int]:
        """Return how many items have each error message, the hundred most frequent."""
        rows = self._database.fetch_all(
            "SELECT error, COUNT(*) AS n FROM items WHERE status = 'error' AND error NOT NULL "
            f"AND {_LIVE} GROUP BY error ORDER BY n DESC LIMIT 100"
        )
        return {row["error"]: row["n"] for row in rows}
