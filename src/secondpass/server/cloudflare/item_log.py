"""What happened to files."""

from __future__ import annotations

import sqlite3
from typing import Any

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.times import iso, now

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
