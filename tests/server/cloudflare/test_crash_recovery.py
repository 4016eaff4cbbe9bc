"""What was acknowledged outlives a killed server, and its indexing goes on."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.errors import IndexStoreError
from secondpass.server.cloudflare.database import FILE, Database
from secondpass.server.cloudflare.items import Items
from secondpass.server.cloudflare.jobs import MOST_ATTEMPTS, Jobs, Work
from tests.server.cloudflare.conftest import ACCOUNT, BREAD, FRANCE, WHALES, keys, put, search

PATH = "/ai-search/namespaces/default/instances/docs"
LONG = "\n\n".join(f"{FRANCE} {WHALES} {BREAD} Paragraph {n}." for n in range(60))


@contextmanager
def serving(model: str, data: Path) -> Iterator[tuple[subprocess.Popen[str], httpx2.Client]]:
    """Run the command as a process of its own."""
    command = [sys.executable, "-m", "secondpass", "serve", "--model", model, "--port", "0"]
    command += ["--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = None
            for line in process.stderr:
                address = re.search(r"http://127\.0\.0\.1:\d+", line)
                if address is not None:
                    break
            assert address is not None
            with httpx2.Client(base_url=address.group() + ACCOUNT, timeout=60) as http:
                yield process, http
        finally:
            process.kill()


def items(http: httpx2.Client) -> dict[str, dict[str, Any]]:
    rows = http.get(f"{PATH}/items", params={"per_page": 50}).json()["result"]
    return {row["key"]: row for row in rows}


def test_a_killed_server_goes_on_where_it_was(model: str, tmp_path: Path) -> None:
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    texts = {f"{n}.md": f"{LONG} File number {n}." for n in range(6)}
    with serving(model, tmp_path) as (process, http):
        assert http.post("/ai-search/instances", json={"id": "docs"}).status_code == 200
        put(http, PATH, "first.md", WHALES)
        for key, text in texts.items():
            put(http, PATH, key, text, wait=False)
        while not any(row["status"] == "running" for row in items(http).values()):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with closing(
        sqlite3.connect(tmp_path / "default/cloudflare-default/docs/items.sqlite")
    ) as db:
        waiting = db.execute("SELECT COUNT(*) FROM items WHERE status != 'completed'")
        assert waiting.fetchone()[0] >= 5
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    with serving(model, tmp_path) as (process, http):
        assert set(items(http)) == {"first.md", *texts}
        # No request but those that look: it goes on by itself.
        end = time.monotonic() + 300
        while any(row["status"] != "completed" for row in items(http).values()):
            assert time.monotonic() < end
            time.sleep(0.2)
        for key, text in texts.items():
            row = items(http)[key]
            assert row["chunks_count"] > 10
            raw = http.get(f"{PATH}/items/{row['id']}/download")
            assert raw.text == text
        chunks = sum(row["chunks_count"] for row in items(http).values())
        stats = http.get(f"{PATH}/stats").json()["result"]
        assert stats["engine"]["vectorize"]["vectorsCount"] == chunks
        assert "first.md" in keys(search(http, PATH, "whales breathe air", max_num_results=50))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_file_that_ends_the_process_does_not_do_so_for_ever(tmp_path: Path) -> None:
    for attempt in range(MOST_ATTEMPTS + 2):
        database = Database(tmp_path)
        found = Items(tmp_path, database)
        if attempt == 0:
            found.put("a.md", b"x", ".md", "text/markdown", {})
        work = Work(database)
        assert work.waits()
        taken = work.take()
        assert taken is not None
        assert taken.attempts == attempt
        assert not work.waits()
        # As if it had been killed here.
        database.close()
    assert taken.attempts > MOST_ATTEMPTS


def test_what_a_crash_left_of_an_upload_is_tidied_up(tmp_path: Path) -> None:
    database = Database(tmp_path)
    found = Items(tmp_path, database)
    kept = found.put("a.md", b"x", ".md", "text/markdown", {})
    for name, age in (("old", 7200), (".old.tmp", 7200), ("young", 0)):
        path = found.raw.path(name)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age, time.time() - age))
    Items(tmp_path, database)
    there = {path.name for path in (tmp_path / "files").iterdir()}
    assert there == {kept.file, "young"}
    database.close()


def test_a_damaged_schema_is_an_error_that_says_so(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.rest()
    file = tmp_path / FILE
    # SQLite quotes it in its message, which then is not text either.
    damaged = file.read_bytes().replace(b"CREATE TABLE jobs", b"CRE\xc1TE TABLE jobs")
    file.write_bytes(damaged)
    with pytest.raises(IndexStoreError, match="its schema is damaged"):
        database.rows("SELECT * FROM items")
    with pytest.raises(IndexStoreError, match="its schema is damaged"):
        Database(tmp_path)
    assert file.read_bytes() == damaged
    database.close()


def test_many_databases_are_open_a_few_at_a_time(tmp_path: Path) -> None:
    made = []
    for number in range(80):
        folder = tmp_path / str(number)
        folder.mkdir()
        database = Database(folder)
        Items(folder, database).put("a.md", b"x", ".md", "text/markdown", {})
        made.append(database)
    assert sum(d._connection is not None for d in made) <= 64
    for database in made:
        row = database.one("SELECT COUNT(*) AS n FROM items")
        assert row is not None
        assert row["n"] == 1
        database.close()


def test_what_the_index_may_hold_of_a_file_is_never_forgotten(tmp_path: Path) -> None:
    database = Database(tmp_path)
    found, work = Items(tmp_path, database), Work(database)
    number = found.put("a.csv", b"x", ".csv", "text/csv", {}).id
    taken = work.take()
    assert taken is not None
    work.note_documents(taken, 7)
    assert work.end(taken, "error", documents=None, chunks=None, error="it broke")
    again = found.put("a.csv", b"y", ".csv", "text/csv", {})
    assert (again.id, again.documents, again.status) == (number, 7, "queued")
    assert not work.end(taken, "completed", documents=1, chunks=1, error=None)
    second = work.take()
    assert second is not None
    work.note_documents(second, 3)
    found.delete(number)
    gone = work.take()
    assert gone is not None
    assert (gone.deleted, gone.documents) == (True, 7)
    database.close()


def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    database = Database(tmp_path)
    jobs = Jobs(database)
    numbers = [jobs.create(None, everything=False) for _ in range(210)]
    listed, total = jobs.listed(start=0, count=500)
    assert [one["id"] for one in listed] == numbers[::-1][:total]
    assert 200 <= total <= 201
    assert jobs.log(numbers[0], start=0, count=9) == []
    assert len(jobs.log(numbers[-1], start=0, count=9)) == 2
    database.close()
