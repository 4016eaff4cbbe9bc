"""Jobs, by which many files are indexed again.

What waits to be indexed or taken out, and what became of it.
"""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.items import Item
from secondpass.server.cloudflare.responses import iso, now

_INFO, _ERROR = 0, 1
_ENDED = "completed"
_CANCELLED = "cancelled"
_MOST_JOBS = 200


class Jobs:
    """The jobs of an instance: each lets many files be indexed again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, description: str | None, *, everything: bool, source: str = "user") -> str:
        """Begin a job and return its id.

        It queues all files with `everything`, else those that failed or are outdated.
        """
        number, moment = uuid.uuid4().hex, now()
        which = "1" if everything else "status IN ('error', 'outdated')"
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO jobs VALUES (NULL, ?, ?, ?, ?, NULL, ?, NULL)",
                (number, source, description, moment, moment),
            )
            queued = connection.execute(
                "UPDATE items SET status = 'queued', next_action = 'INDEX', job = ?, "
                "revision = revision + 1, attempts = 0, error = NULL "
                f"WHERE {which} AND next_action IS NOT 'DELETE'",
                (number,),
            ).rowcount
            _log(connection, number, f"{queued} files are queued")
            _forget_old(connection)
        self.settle(number)
        return number

    def note(self, number: str, message: str, *, bad: bool = False) -> None:
        """Note what a job has done."""
        with self._database.writing() as connection:
            _log(connection, number, message, _ERROR if bad else _INFO)
            connection.execute(
                "UPDATE jobs SET seen_at = ? WHERE id = ? AND ended_at IS NULL", (now(), number)
            )

    def under_way(self) -> bool:
        """Return whether there is a job that has not ended."""
        return self._database.one("SELECT 1 FROM jobs WHERE ended_at IS NULL") is not None

    def settle_all(self) -> None:
        """End the jobs of which nothing waits any more."""
        for row in self._database.rows("SELECT id FROM jobs WHERE ended_at IS NULL"):
            self.settle(row["id"])

    def settle(self, number: str) -> None:
        """End a job if nothing of it waits any more."""
        with self._database.writing() as connection:
            left = connection.execute(
                "SELECT 1 FROM items WHERE job = ? AND status IN ('queued', 'running') "
                "AND next_action IS NOT 'DELETE' LIMIT 1",
                (number,),
            ).fetchone()
            if left is None:
                _end(connection, number, _ENDED)

    def cancel(self, number: str) -> bool:
        """End a job: what it queued and nobody has begun is outdated; False without such."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE items SET status = 'outdated', next_action = NULL, job = NULL, "
                "revision = revision + 1 WHERE job = ? AND status = 'queued' "
                "AND next_action IS NOT 'DELETE'",
                (number,),
            )
            return _end(connection, number, _CANCELLED)

    def get(self, number: str) -> dict[str, Any] | None:
        """Return a job as clients see it, or None."""
        row = self._database.one("SELECT * FROM jobs WHERE id = ?", number)
        return None if row is None else _job(row)

    def listed(self, *, start: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return jobs, the newest first, and how many there are."""
        rows = self._database.rows(
            "SELECT * FROM jobs ORDER BY number DESC LIMIT ? OFFSET ?", count, start
        )
        total = self._database.one("SELECT COUNT(*) AS n FROM jobs")
        assert total is not None
        return [_job(row) for row in rows], total["n"]

    def log(self, number: str, *, start: int, count: int) -> list[dict[str, Any]]:
        """Return what a job has noted, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM job_logs WHERE job = ? ORDER BY number LIMIT ? OFFSET ?",
            number,
            count,
            start,
        )
        return [
            {
                "id": row["number"],
                "created_at": row["at"],
                "message": row["message"],
                "message_type": row["kind"],
            }
            for row in rows
        ]


def _forget_old(connection: sqlite3.Connection) -> None:
    oldest = connection.execute(
        "SELECT number FROM jobs ORDER BY number DESC LIMIT 1 OFFSET ?", (_MOST_JOBS,)
    ).fetchone()
    if oldest is not None:
        gone = "FROM jobs WHERE number <= ? AND ended_at NOT NULL"
        connection.execute(
            f"DELETE FROM job_logs WHERE job IN (SELECT id {gone})", tuple(oldest)
        )
        connection.execute(f"DELETE {gone}", tuple(oldest))


def _end(connection: sqlite3.Connection, number: str, reason: str) -> bool:
    ended = connection.execute(
        "UPDATE jobs SET ended_at = ?, seen_at = ?, end_reason = ? "
        "WHERE id = ? AND ended_at IS NULL",
        (now(), now(), reason, number),
    )
    if ended.rowcount:
        _log(connection, number, f"the job is {reason}")
    return ended.rowcount > 0


def _log(connection: sqlite3.Connection, job: str, message: str, kind: int = _INFO) -> None:
    connection.execute(
        "INSERT INTO job_logs VALUES (NULL, ?, ?, ?, ?)", (job, now(), message, kind)
    )


def _job(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "source": row["source"],
        "description": row["description"],
        "started_at": iso(row["started_at"]),
        "ended_at": iso(row["ended_at"]),
        "last_seen_at": iso(row["seen_at"]),
        "end_reason": row["end_reason"],
    }


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
