"""Indexing: file types, unreadable files, and changes of items and settings."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.retrieve.loaders.sandbox import SECONDS
from secondpass.server.settings import ServerSettings
from tests.retrieve.loaders.pdfs import endless
from tests.retrieve.loaders.test_files import docx
from tests.server.cloudflare.conftest import (
    ACCOUNT,
    BREAD,
    FRANCE,
    WHALES,
    keys,
    put,
    search,
)
from tests.server.conftest import running
from tests.server.load import until

Make = Callable[..., str]


def item(http: httpx2.Client, path: str, number: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"{path}/items/{number}").json()["result"]
    return found


@pytest.mark.parametrize(
    ("key", "content", "kind", "found"),
    [
        ("a.md", f"---\ntitle: x\n---\n# Head\n\n{FRANCE}", "text/markdown", 1),
        ("a.html", f"<html><script>x()</script><p>{FRANCE}</p></html>", "text/html", 1),
        ("no-suffix", f"<p>{FRANCE}</p>", "text/html; charset=utf-8", 1),
        ("a.py", f"# {FRANCE}", "text/x-python", 1),
        ("a.json", json.dumps({"a": FRANCE}), "application/json", 1),
        ("a.csv", f'id,text\n1,"{FRANCE}"\n2,"{BREAD}"\n', "text/csv", 2),
        ("b.csv", f'name,about\nx,"{FRANCE}"\n', "text/csv", 1),
        ("a.jsonl", f'{{"text": "{FRANCE}"}}\n\n{{"text": "{BREAD}"}}\n', "x", 2),
        ("a.tsv", f"id\ttext\n1\t{FRANCE}\n", "x", 1),
        ("ü/日本.txt", FRANCE.encode("utf-16"), "text/plain", 1),
    ],
)
def test_file_types(
    http: httpx2.Client, make: Make, key: str, content: str | bytes, kind: str, found: int
) -> None:
    path = make()
    up = put(http, path, key, content, kind=kind)
    assert (up["status"], up["chunks_count"], up.get("error")) == ("completed", found, None)
    chunks = http.get(f"{path}/items/{up['id']}/chunks").json()["result"]
    assert len(chunks) == found
    assert keys(search(http, path, "capital France"))[0] == key
    assert "Paris is the capital" in search(http, path, "capital France")[0]["text"]


def _bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", b" " * 100_000_001)
    return out.getvalue()


@pytest.mark.parametrize(
    ("key", "content", "told"),
    [
        ("a.txt", b"\xff\x00\x01\x02" * 9, "not a text file"),
        ("a.md", b"caf\xe9", "iconv -f windows-1252 -t utf-8 a.md"),
        ("a.csv", "text,x\nonly one\n", "different number of cells"),
        ("a.jsonl", "{", "not valid JSON"),
        ("a.pdf", b"%PDF-1.4 nothing", "the file cannot be read"),
        ("a.docx", b"PK nothing", "the file cannot be read"),
        ("a.docx", _bomb(), "unpacks to more than"),
        ("a.jsonl.gz", b"\x1f\x8b", "are not read"),
        ("a.parquet", b"PAR1", "are not read"),
        ("rows.csv", "text\n" + "x\n" * 20_001, "more than 20,000 rows"),
    ],
)  # fmt: skip
def test_unreadable_files_have_an_error_message(
    http: httpx2.Client, make: Make, key: str, content: str | bytes, told: str
) -> None:
    path = make()
    up = put(http, path, key, content, kind="x")
    assert up["status"] == "error"
    assert told in up["error"] or "markitdown" in up["error"]
    assert "/files/" not in up["error"]
    stats = http.get(f"{path}/stats").json()["result"]
    assert (stats["error"], stats["file_embed_errors"]) == (1, {up["error"]: 1})
    assert search(http, path, "anything") == []
    assert http.get(f"{path}/items/{up['id']}/download").status_code == 200


@pytest.mark.parametrize(
    ("key", "content", "told"),
    [
        ("a.csv", f'id,text\n1\n2,"{FRANCE}"\n3,a,b\n', "rows skipped: 2, the first at line 2"),
        (
            "a.jsonl",
            f'{{"text": "{FRANCE}"}}\n{{"text": 5}}\n',
            "rows skipped: 1, the first at",
        ),
        ("b.jsonl", f'{{"text": "{FRANCE}"}}\n{{"text"\n', "not valid JSON"),
        ("c.jsonl", f'{{"text": "{FRANCE}"}}\n{{"id": [1], "text": "x"}}\n', "cannot be an id"),
    ],
)
def test_a_row_that_cannot_be_read_is_skipped_and_named(
    http: httpx2.Client, make: Make, key: str, content: str, told: str
) -> None:
    path = make()
    up = put(http, path, key, content, kind="x")
    assert (up["status"], up["chunks_count"]) == ("completed", 1)
    (warning,) = up["warnings"]
    assert told in warning["message"]
    assert "/files/" not in warning["message"]
    assert "Paris" in search(http, path, "capital France")[0]["text"]


def test_an_empty_file_is_skipped(http: httpx2.Client, make: Make) -> None:
    up = put(http, make(), "a.txt", b" \n")
    assert (up["status"], up["error"]) == ("skipped", "the file holds no text")


def test_an_upload_replaces_the_item_with_its_key(http: httpx2.Client, make: Make) -> None:
    path = make()
    rows = "id,text\n" + "".join(f"{n},whales number {n} swim\n" for n in range(5))
    first = put(http, path, "a.csv", rows)
    assert first["chunks_count"] == 5
    second = put(http, path, "a.csv", f"id,text\n1,{BREAD.replace(',', '')}\n")
    assert (second["id"], second["chunks_count"]) == (first["id"], 1)
    assert second["checksum"] != first["checksum"]
    assert len(search(http, path, "whales")) == 1
    broken = put(http, path, "a.csv", "id,text\n1\n")
    assert (broken["status"], broken["chunks_count"]) == ("error", 0)
    assert search(http, path, "bread") == []
    again = put(http, path, "a.csv", rows)
    assert (again["status"], again["chunks_count"]) == ("completed", 5)


def test_a_deleted_item_is_gone_at_once_and_its_key_is_free(
    http: httpx2.Client, make: Make
) -> None:
    path = make()
    first = put(http, path, "a.md", FRANCE)
    assert http.delete(f"{path}/items/{first['id']}").json()["result"] == {"key": "a.md"}
    assert search(http, path, "capital of France") == []
    assert http.delete(f"{path}/items/{first['id']}").status_code == 404
    second = put(http, path, "a.md", WHALES)
    assert second["id"] != first["id"]
    assert keys(search(http, path, "whales")) == ["a.md"]
    stats = http.get(f"{path}/stats").json()["result"]
    assert stats["engine"]["vectorize"]["vectorsCount"] == 1


def test_a_change_of_chunking_starts_a_job_for_all_items(
    http: httpx2.Client, make: Make
) -> None:
    path = make(chunk_size=64, chunk_overlap=0)
    text = "\n\n".join(f"{FRANCE} {WHALES} {BREAD} Number {n}." for n in range(8))
    small = put(http, path, "a.md", text)
    assert small["chunks_count"] > 3
    changed = http.put(path, json={"chunk": False, "score_threshold": 0.2})
    assert changed.json()["result"]["chunk"] is False
    assert changed.json()["result"]["chunk_size"] == 64
    until(lambda: item(http, path, small["id"])["chunks_count"] == 1)
    (job,) = http.get(f"{path}/jobs").json()["result"]
    until(lambda: http.get(f"{path}/jobs/{job['id']}").json()["result"]["ended_at"] is not None)
    notes = http.get(f"{path}/jobs/{job['id']}/logs").json()["result"]
    assert [n["message"] for n in notes] == [
        "1 files are queued",
        "a.md: completed",
        "the job is completed",
    ]
    same = http.put(path, json={"max_num_results": 5})
    assert same.json()["result"]["max_num_results"] == 5
    assert len(http.get(f"{path}/jobs").json()["result"]) == 1


def test_a_field_that_changes_its_type_is_indexed_again(
    http: httpx2.Client, make: Make
) -> None:
    path = make(custom_metadata=[{"field_name": "Version", "data_type": "text"}])
    up = put(http, path, "a.md", FRANCE, version="2")
    assert "warnings" not in up
    assert keys(search(http, path, "France", filters={"version": "2"})) == ["a.md"]
    fields = [{"field_name": "version", "data_type": "number"}]
    http.put(path, json={"custom_metadata": fields})
    until(lambda: search(http, path, "France", filters={"version": {"$lt": 2.5}}) != [])
    assert search(http, path, "France", filters={"version": {"$gt": 2.5}}) == []


def test_a_paused_instance_waits(http: httpx2.Client, make: Make) -> None:
    path = make()
    http.put(path, json={"paused": True})
    up = put(http, path, "a.md", FRANCE, wait=False)
    other = put(http, make("other"), "b.md", WHALES)
    assert other["status"] == "completed"
    assert item(http, path, up["id"])["status"] == "queued"
    assert http.get(path).json()["result"]["status"] == "paused"
    job = http.post(f"{path}/jobs", json={}).json()["result"]
    assert job["end_reason"] == "completed"
    http.put(path, json={"paused": None})
    until(lambda: item(http, path, up["id"])["status"] == "completed")
    assert http.get(path).json()["result"]["status"] == "ready"


def test_a_cancelled_job_leaves_queued_items_outdated(http: httpx2.Client, make: Make) -> None:
    path = make()
    up = put(http, path, "a.md", FRANCE)
    http.put(path, json={"paused": True})
    http.put(path, json={"chunk_size": 64})
    (job,) = http.get(f"{path}/jobs").json()["result"]
    assert item(http, path, up["id"])["next_action"] == "INDEX"
    done = http.patch(f"{path}/jobs/{job['id']}", json={"action": "cancel"}).json()["result"]
    assert done["end_reason"] == "cancelled"
    assert item(http, path, up["id"])["status"] == "outdated"
    assert keys(search(http, path, "France")) == ["a.md"]
    again = http.post(f"{path}/jobs", json={"description": "go on"}).json()["result"]
    http.put(path, json={"paused": False})
    until(lambda: item(http, path, up["id"])["status"] == "completed")
    ended = http.get(f"{path}/jobs/{again['id']}").json()["result"]
    assert (ended["description"], ended["source"]) == ("go on", "user")


def test_an_instance_deleted_during_indexing_stays_deleted(
    http: httpx2.Client, make: Make
) -> None:
    path = make()
    for number in range(3):
        put(http, path, f"{number}.md", "\n\n".join([FRANCE, WHALES, BREAD] * 200), wait=False)
    assert http.delete(path).status_code == 200
    assert http.get(path).status_code == 404
    path = make()
    assert search(http, path, "whales") == []
    assert http.get(f"{path}/items").json()["result"] == []
    assert put(http, path, "a.md", FRANCE)["status"] == "completed"


def test_a_word_file_is_read(http: httpx2.Client, make: Make) -> None:
    pytest.importorskip("markitdown", reason="the extra ingest is not installed")
    up = put(http, make(), "a.docx", docx("Quarterly figures"), kind="x")
    assert (up["status"], up.get("error")) == ("completed", None)


def test_a_file_that_never_finishes_loading_blocks_no_request(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("markitdown")
    settings = ServerSettings(models=[model], data=tmp_path)
    path = "/ai-search/namespaces/default/instances/docs"
    with running(settings) as found, httpx2.Client(base_url=found.url + ACCOUNT) as http:
        http.post("/ai-search/instances", json={"id": "docs", "cache": False})
        put(http, path, "good.md", FRANCE)
        number = put(http, path, "endless.pdf", endless(), wait=False)["id"]
        until(lambda: item(http, path, number)["status"] == "running")
        assert keys(search(http, path, "capital")) == ["good.md"]
    # The server has stopped, and the file was put back; at the next start it has its time.
    monkeypatch.setenv(SECONDS, "1")
    with running(settings) as found, httpx2.Client(base_url=found.url + ACCOUNT) as http:
        until(lambda: item(http, path, number)["status"] == "error")
        said = item(http, path, number)["error"]
        assert "it took over 1 seconds" in said
        assert str(tmp_path) not in said
        assert put(http, path, "more.md", WHALES)["status"] == "completed"
