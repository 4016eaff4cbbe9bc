"""The queue of items to be indexed or removed from the index, in the database."""

from __future__ import annotations

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.responses import now_ms

MAX_ATTEMPTS = 5
"""How often the indexing of an item is started: one that crashes the process must not do so
forever.
"""
_PENDING = (
    f"((next_action = 'DELETE' AND attempts < {MAX_ATTEMPTS}) "
    "OR (next_action = 'INDEX' AND status = 'queued'))"
)

_ORDER = "next_action = 'INDEX', job NOT NULL, seen_at, id"


class IndexingQueue:
    """The items of an instance that wait to be indexed or removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has_pending(self) -> bool:
        """Return whether any item waits."""
        row = self._database.fetch_one(f"SELECT 1 FROM items WHERE {_PENDING} LIMIT 1")
        return row is not None

    def next_age(self) -> tuple[int, int, int, str] | None:
        """Return the order of the next item among those of other instances, or None."""
        row = self._database.fetch_one(
            f"SELECT {_ORDER} FROM items WHERE {_PENDING} ORDER BY {_ORDER} LIMIT 1"
        )
        return None if row is None else (row[0], row[1], row[2], row[3])

    def take(self, *, deleted_only: bool = False) -> Item | None:
        """Return the next item, marked as running, or None.

        Deletions come first, then uploads and single items, oldest first, then jobs.
        """
        condition = f"{_PENDING} AND next_action = 'DELETE'" if deleted_only else _PENDING
        with self._database.transaction() as connection:
            row = connection.execute(
                f"SELECT * FROM items WHERE {condition} ORDER BY {_ORDER} LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE items SET attempts = attempts + 1, status = "
                "CASE next_action WHEN 'DELETE' THEN status ELSE 'running' END WHERE id = ?",
                (row["id"],),
            )
        return Item.from_row(row)

    def is_current(self, item: Item) -> bool:
        """Return whether an item is neither deleted nor changed since it was taken."""
        row = self._database.fetch_one(
            "SELECT 1 FROM items WHERE id = ? AND revision = ? AND next_action IS NOT 'DELETE'",
            item.id,
            item.revision,
        )
        return row is not None

    def put_back(self, item: Item) -> None:
        """Put back an item whose processing was interrupted by something else."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE items SET attempts = ?, status = CASE status WHEN 'running' "
                "THEN 'queued' ELSE status END WHERE id = ? AND revision = ?",
                (item.attempts, item.id, item.revision),
            )

    def record_documents(self, item: Item, documents: int) -> None:
        """Record how many documents of an item the index may hold from now on."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE items SET documents = MAX(documents, ?) WHERE id = ?",
                (documents, item.id),
            )

    def finish(
        self,
        item: Item,
        status: str,
        *,
        documents: int | None,
        chunks: int | None,
        error: str | None,
    ) -> bool:
        """Record the outcome of an item; False if it has changed in the meantime.

        `documents` is None if it is unknown how many of them the index holds.
        """
        with self._database.transaction() as connection:
            updated = connection.execute(
                "UPDATE items SET status = ?, next_action = NULL, attempts = 0, error = ?, "
                "documents = COALESCE(?, documents), chunks = ?, seen_at = ? "
                "WHERE id = ? AND revision = ?",
                (status, error, documents, chunks, now_ms(), item.id, item.revision),
            )
            return updated.rowcount > 0

    def remove(self, item: Item) -> None:
        """Remove the record and the log of an item whose chunks were removed."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM item_logs WHERE item = ?", (item.id,))
            connection.execute(
                "DELETE FROM items WHERE id = ? AND next_action = 'DELETE'", (item.id,)
            )
