"""Jobs that index many items again, and their logs."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.responses import now_ms, to_iso

_INFO, _ERROR = 0, 1
_COMPLETED = "completed"
_CANCELLED = "cancelled"
_MAX_JOBS = 200


class JobStore:
    """The jobs of an instance, each of which indexes many items again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, description: str | None, *, everything: bool, source: str = "user") -> str:
        """Start a job and return its id.

        It queues all items with `everything`, otherwise those that failed or are outdated.
        """
        job_id, started_at = uuid.uuid4().hex, now_ms()
        condition = "1" if everything else "status IN ('error', 'outdated')"
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO jobs VALUES (NULL, ?, ?, ?, ?, NULL, ?, NULL)",
                (job_id, source, description, started_at, started_at),
            )
            queued = connection.execute(
                "UPDATE items SET status = 'queued', next_action = 'INDEX', job = ?, "
                "revision = revision + 1, attempts = 0, error = NULL "
                f"WHERE {condition} AND next_action IS NOT 'DELETE'",
                (job_id,),
            ).rowcount
            _add_log(connection, job_id, f"{queued} files are queued")
            _delete_old(connection)
        self.complete_if_done(job_id)
        return job_id

    def add_log(self, job_id: str, message: str, *, is_error: bool = False) -> None:
        """Add an entry to the log of a job."""
        with self._database.transaction() as connection:
            _add_log(connection, job_id, message, _ERROR if is_error else _INFO)
            connection.execute(
                "UPDATE jobs SET seen_at = ? WHERE id = ? AND ended_at IS NULL",
                (now_ms(), job_id),
            )

    def any_active(self) -> bool:
        """Return whether a job has not ended."""
        return self._database.fetch_one("SELECT 1 FROM jobs WHERE ended_at IS NULL") is not None

    def complete_all_done(self) -> None:
        """End the jobs whose items are all processed."""
        for row in self._database.fetch_all("SELECT id FROM jobs WHERE ended_at IS NULL"):
            self.complete_if_done(row["id"])

    def complete_if_done(self, job_id: str) -> None:
        """End a job if all its items are processed."""
        with self._database.transaction() as connection:
            remaining = connection.execute(
                "SELECT 1 FROM items WHERE job = ? AND status IN ('queued', 'running') "
                "AND next_action IS NOT 'DELETE' LIMIT 1",
                (job_id,),
            ).fetchone()
            if remaining is None:
                _end(connection, job_id, _COMPLETED)

    def cancel(self, job_id: str) -> bool:
        """End a job and mark its queued items as outdated; False if it is not active."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE items SET status = 'outdated', next_action = NULL, job = NULL, "
                "revision = revision + 1 WHERE job = ? AND status = 'queued' "
                "AND next_action IS NOT 'DELETE'",
                (job_id,),
            )
            return _end(connection, job_id, _CANCELLED)

    def get(self, job_id: str) -> dict[str, Any] | None:
        """Return a job as clients see it, or None."""
        row = self._database.fetch_one("SELECT * FROM jobs WHERE id = ?", job_id)
        return None if row is None else _job_json(row)

    def list_jobs(self, *, start: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return some jobs, newest first, and the number of all."""
        rows = self._database.fetch_all(
            "SELECT * FROM jobs ORDER BY number DESC LIMIT ? OFFSET ?", count, start
        )
        total = self._database.fetch_one("SELECT COUNT(*) AS n FROM jobs")
        assert total is not None
        return [_job_json(row) for row in rows], total["n"]

    def read_log(self, job_id: str, *, start: int, count: int) -> list[dict[str, Any]]:
        """Return some log entries of a job, oldest first."""
        rows = self._database.fetch_all(
            "SELECT * FROM job_logs WHERE job = ? ORDER BY number LIMIT ? OFFSET ?",
            job_id,
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


def _delete_old(connection: sqlite3.Connection) -> None:
    oldest = connection.execute(
        "SELECT number FROM jobs ORDER BY number DESC LIMIT 1 OFFSET ?", (_MAX_JOBS,)
    ).fetchone()
    if oldest is not None:
        old_jobs = "FROM jobs WHERE number <= ? AND ended_at NOT NULL"
        connection.execute(
            f"DELETE FROM job_logs WHERE job IN (SELECT id {old_jobs})", tuple(oldest)
        )
        connection.execute(f"DELETE {old_jobs}", tuple(oldest))


def _end(connection: sqlite3.Connection, job_id: str, reason: str) -> bool:
    ended = connection.execute(
        "UPDATE jobs SET ended_at = ?, seen_at = ?, end_reason = ? "
        "WHERE id = ? AND ended_at IS NULL",
        (now_ms(), now_ms(), reason, job_id),
    )
    if ended.rowcount:
        _add_log(connection, job_id, f"the job is {reason}")
    return ended.rowcount > 0


def _add_log(
    connection: sqlite3.Connection, job_id: str, message: str, kind: int = _INFO
) -> None:
    connection.execute(
        "INSERT INTO job_logs VALUES (NULL, ?, ?, ?, ?)", (job_id, now_ms(), message, kind)
    )


def _job_json(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "source": row["source"],
        "description": row["description"],
        "started_at": to_iso(row["started_at"]),
        "ended_at": to_iso(row["ended_at"]),
        "last_seen_at": to_iso(row["seen_at"]),
        "end_reason": row["end_reason"],
    }
