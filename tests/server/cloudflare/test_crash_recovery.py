"""Recovery from a killed server: acknowledged uploads stay, and indexing resumes."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.indexing_queue import MAX_ATTEMPTS, IndexingQueue
from secondpass.server.cloudflare.items import ItemStore
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
            # A full pipe would stop the server at its next log line.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            with httpx2.Client(base_url=address.group() + ACCOUNT, timeout=60) as http:
                yield process, http
        finally:
            process.kill()


def items(http: httpx2.Client) -> dict[str, dict[str, Any]]:
    rows = http.get(f"{PATH}/items", params={"per_page": 50}).json()["result"]
    return {row["key"]: row for row in rows}


def test_a_killed_server_resumes_indexing(model: str, tmp_path: Path) -> None:
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


def test_a_file_that_crashes_the_process_is_given_up(tmp_path: Path) -> None:
    for attempt in range(MAX_ATTEMPTS + 2):
        database = Database(tmp_path)
        store = ItemStore(tmp_path, database)
        if attempt == 0:
            store.put("a.md", b"x", ".md", "text/markdown", {})
        queue = IndexingQueue(database)
        assert queue.has_pending()
        taken = queue.take()
        assert taken is not None
        assert taken.attempts == attempt
        assert not queue.has_pending()
        # As if it had been killed here.
        database.close()
    assert taken.attempts > MAX_ATTEMPTS


def test_orphaned_files_of_a_crash_are_removed(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = ItemStore(tmp_path, database)
    kept = store.put("a.md", b"x", ".md", "text/markdown", {})
    for name, age in (("old", 7200), (".old.tmp", 7200), ("young", 0)):
        path = store.raw.path(name)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age, time.time() - age))
    ItemStore(tmp_path, database)
    there = {path.name for path in (tmp_path / "files").iterdir()}
    assert there == {kept.file, "young"}
    database.close()
