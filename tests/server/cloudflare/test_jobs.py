"""Indexing jobs."""

from __future__ import annotations

from pathlib import Path

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.jobs import JobStore


def test_old_jobs_are_deleted(tmp_path: Path) -> None:
    database = Database(tmp_path)
    jobs = JobStore(database)
    numbers = [jobs.create(None, everything=False) for _ in range(210)]
    listed, total = jobs.list_jobs(start=0, count=500)
    assert [one["id"] for one in listed] == numbers[::-1][:total]
    assert 200 <= total <= 201
    assert jobs.read_log(numbers[0], start=0, count=9) == []
    assert len(jobs.read_log(numbers[-1], start=0, count=9)) == 2
    database.close()
