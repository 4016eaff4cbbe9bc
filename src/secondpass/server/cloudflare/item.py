"""One file of an instance, as it is recorded and as clients see it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.server.cloudflare.fields import Field, Value, columns, folder_of
from secondpass.server.cloudflare.times import iso

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
