"""What waits to be indexed or taken out, and what became of it."""

from __future__ import annotations

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.times import now

MOST_ATTEMPTS = 5
"""How often a file's indexing is begun; a file that ends the process would do so for ever."""
_WAITS = (
    f"((next_action = 'DELETE' AND attempts < {MOST_ATTEMPTS}) "
    "OR (next_action = 'INDEX' AND status = 'queued'))"
)


class Work:
    """The files of an instance that something is to be done with, one after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waits(self) -> bool:
        """Return whether there is anything to do."""
        row = self._database.one(f"SELECT 1 FROM items WHERE {_WAITS} LIMIT 1")
        return row is not None

    def take(self) -> Item | None:
        """Return what to do next, marked as running.

        Deletions go first, then what was uploaded or named, the oldest first, then jobs.
        """
        with self._database.writing() as connection:
            row = connection.execute(
                f"SELECT * FROM items WHERE {_WAITS} "
                "ORDER BY next_action = 'INDEX', job NOT NULL, seen_at, id LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE items SET attempts = attempts + 1, status = "
                "CASE next_action WHEN 'DELETE' THEN status ELSE 'running' END WHERE id = ?",
                (row["id"],),
            )
        return Item.of(row)

    def give_back(self, item: Item) -> None:
        """Put a file back: it was not its fault."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE items SET attempts = ?, status = CASE status WHEN 'running' "
                "THEN 'queued' ELSE status END WHERE id = ? AND revision = ?",
                (item.attempts, item.id, item.revision),
            )

    def note_documents(self, item: Item, documents: int) -> None:
        """Record how many documents of a file the index may hold from now on."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE items SET documents = MAX(documents, ?) WHERE id = ?",
                (documents, item.id),
            )

    def end(
        self,
        item: Item,
        status: str,
        *,
        documents: int | None,
        chunks: int | None,
        error: str | None,
    ) -> bool:
        """Record what became of a file; False where it has changed in the meantime.

        `documents` is None where nobody knows how many of them the index has.
        """
        with self._database.writing() as connection:
            done = connection.execute(
                "UPDATE items SET status = ?, next_action = NULL, attempts = 0, error = ?, "
                "documents = COALESCE(?, documents), chunks = ?, seen_at = ? "
                "WHERE id = ? AND revision = ?",
                (status, error, documents, chunks, now(), item.id, item.revision),
            )
            return done.rowcount > 0

    def forget(self, item: Item) -> None:
        """Remove the record of a file that was taken out, and its log."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM item_logs WHERE item = ?", (item.id,))
            connection.execute(
                "DELETE FROM items WHERE id = ? AND next_action = 'DELETE'", (item.id,)
            )
