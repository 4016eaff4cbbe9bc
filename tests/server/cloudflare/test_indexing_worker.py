"""The worker: tenants take turns, and deletion and shutdown are looked at between batches."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.retrieve.loaders.sandbox import Cancellation
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.cloudflare import indexing
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.indexing import load_file
from secondpass.server.cloudflare.items import MAX_FILE_BYTES, ItemStore
from secondpass.server.settings import ServerSettings
from tests.retrieve.loaders.pdfs import endless
from tests.retrieve.loaders.test_office import docx, paragraph
from tests.server.cloudflare.conftest import ACCOUNT, FRANCE, keys, put, search
from tests.server.cloudflare.test_crash_recovery import serving
from tests.server.conftest import Running, running
from tests.server.load import until

PATH = "/ai-search/namespaces/default/instances/docs"
# The batches of this file take much longer than the small files that others upload meanwhile.
LONG = "\n\n".join(f"Paragraph {n} of a file that never ends." for n in range(20_000))


@pytest.fixture(scope="module")
def tenants(
    model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, httpx2.Client]]:
    """Return a client of each of three tenants, with an instance of its own."""
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    folder = tmp_path_factory.mktemp("tenants")
    file = KeyFile(folder / "keys.json")
    names = ("acme", "bravo", "coral")
    scopes = ["search", "write"]
    tokens = {name: file.create(name, scopes, tenant=name) for name in names}
    settings = ServerSettings(models=[model], data=folder / "data", keys=folder / "keys.json")
    with pytest.MonkeyPatch.context() as patch, running(settings) as found:
        # Tenants take turns after a batch: small ones make them wait seconds less.
        patch.setattr(indexing, "_STEP_CHARACTERS", 8000)
        clients = {name: client(found, token) for name, token in tokens.items()}
        yield clients
        for http in clients.values():
            http.close()


def client(found: Running, token: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {token}"}
    http = httpx2.Client(base_url=found.url + ACCOUNT, headers=headers, timeout=60)
    body = {"id": "docs", "cache": False}
    assert http.post("/ai-search/instances", json=body).status_code == 200
    return http


def item(http: httpx2.Client, number: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"{PATH}/items/{number}").json().get("result") or {}
    return found


def test_a_long_file_of_one_tenant_holds_nobody_else(
    tenants: dict[str, httpx2.Client],
) -> None:
    acme, bravo, coral = tenants["acme"], tenants["bravo"], tenants["coral"]
    long = put(acme, PATH, "long.txt", LONG, wait=False)
    until(lambda: item(acme, long["id"])["status"] == "running")
    for http in (bravo, coral):
        assert put(http, PATH, "a.txt", FRANCE)["status"] == "completed"
    assert item(acme, long["id"])["status"] == "running"
    # Its own files are indexed by age, and its deletion ends the work.
    second = put(acme, PATH, "b.txt", FRANCE, wait=False)
    assert item(acme, second["id"])["status"] == "queued"
    acme.delete(f"{PATH}/items/{long['id']}")
    until(lambda: item(acme, second["id"])["status"] == "completed")
    assert keys(search(acme, PATH, "Paragraph of a file", max_num_results=50)) == ["b.txt"]
    stats = acme.get(f"{PATH}/stats").json()["result"]
    assert stats["engine"]["vectorize"]["vectorsCount"] == 1


def test_files_that_never_load_hold_nobody_else_and_end_when_deleted(
    tenants: dict[str, httpx2.Client],
) -> None:
    pytest.importorskip("markitdown")
    acme, bravo = tenants["acme"], tenants["bravo"]
    stuck = put(acme, PATH, "endless.pdf", endless(), wait=False)
    until(lambda: item(acme, stuck["id"])["status"] == "running")
    assert put(bravo, PATH, "c.txt", FRANCE)["status"] == "completed"
    acme.delete(f"{PATH}/items/{stuck['id']}")
    assert put(acme, PATH, "d.txt", FRANCE)["status"] == "completed"


def test_a_file_that_is_replaced_while_it_is_indexed_starts_again(
    tenants: dict[str, httpx2.Client],
) -> None:
    coral = tenants["coral"]
    first = put(coral, PATH, "same.txt", LONG, wait=False)
    until(lambda: item(coral, first["id"])["status"] == "running")
    again = put(coral, PATH, "same.txt", "Replaced whales.")
    assert (again["id"], again["status"]) == (first["id"], "completed")
    assert again["chunks_count"] == 1
    chunks = coral.get(f"{PATH}/items/{first['id']}/chunks").json()["result"]
    assert [chunk["text"] for chunk in chunks] == ["Replaced whales."]


def test_a_small_file_that_unpacks_to_much_text_is_cut(tmp_path: Path) -> None:
    pytest.importorskip("markitdown")
    database = Database(tmp_path)
    store = ItemStore(tmp_path, database)
    data = docx(paragraph("word " * 5000) * 1200)
    assert len(data) < 200_000
    uploaded = store.put("bomb.docx", data, ".docx", "", {})
    loaded = load_file(uploaded, store.raw.path(uploaded.file), Cancellation())
    (document,) = loaded.documents
    assert len(document.text) <= MAX_FILE_BYTES
    assert loaded.cut >= 5000 * 5 * 1200 - MAX_FILE_BYTES
    database.close()


def test_what_is_missing_is_said_of_the_item(tenants: dict[str, httpx2.Client]) -> None:
    bravo = tenants["bravo"]
    page = f"<html><script>{'x' * 9000}</script><nav>Home</nav><p>{FRANCE}</p></html>"
    up = put(bravo, PATH, "thin.html", page)
    assert up["status"] == "completed"
    (warning,) = up["warnings"]
    assert warning["code"] == "incomplete"
    assert "very little text for its size: 61 characters" in warning["message"]
    log = bravo.get(f"{PATH}/items/{up['id']}/logs").json()["result"]
    assert "left out: 1 hidden and navigation elements" in log[0]["message"]
    assert "error" not in item(bravo, up["id"])
    up = put(bravo, PATH, "head.md", f"---\ntitle: x\ntags: [a\n---\n{FRANCE}")
    assert "kept as text: front matter that is not YAML: line " in up["warnings"][0]["message"]


def test_sigterm_ends_within_seconds_and_the_work_resumes(model: str, tmp_path: Path) -> None:
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    text = "\n\n".join(f"Paragraph {n}. {FRANCE}" for n in range(2000))
    with serving(model, tmp_path) as (process, http):
        http.post("/ai-search/instances", json={"id": "docs", "cache": False})
        number = put(http, PATH, "a.txt", text, wait=False)["id"]
        # At least one batch is stored.
        end = time.monotonic() + 60
        while not search(http, PATH, "capital of France"):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert item(http, number)["status"] == "running"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with serving(model, tmp_path) as (process, http):
        end = time.monotonic() + 240
        while item(http, number)["status"] != "completed":
            assert item(http, number)["status"] in ("queued", "running")
            assert time.monotonic() < end
            time.sleep(0.2)
        row = item(http, number)
        assert row["chunks_count"] > 100
        last = http.get(
            f"{PATH}/items/{number}/chunks", params={"offset": row["chunks_count"] - 1}
        )
        assert "Paragraph 1999." in last.json()["result"][0]["text"]
