"""The files of an instance: put in, taken out, and handed to who indexes them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondpass.errors import IndexStoreError
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.raw_files import RawFiles
from secondpass.server.cloudflare.times import now

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
