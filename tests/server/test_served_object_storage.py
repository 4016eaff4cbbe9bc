"""An index in object storage behind a server, and other processes that write to it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index
from secondpass.errors import IndexNotFoundError, IndexStoreError
from secondpass.server.http_errors import to_http_error
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from tests.loopback.moto_server import ObjectServer, object_server
from tests.server.conftest import Running, running
from tests.server.load import until

ROOT = Path(__file__).parents[2]
_ADD = """
import sys
from secondpass import Index
with Index.open(sys.argv[1], create=False, local_folder=sys.argv[2]) as index:
    index.add([{"id": "ship", "text": "A ship came into the harbor."}])
"""


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectServer]:
    with object_server() as found:
        yield found


@pytest.fixture
def place(storage: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return storage.use_prefix(tmp_path, monkeypatch)


@pytest.fixture
def served(place: str, tmp_path: Path) -> Iterator[Running]:
    with Index.open(place, local_folder=tmp_path / "maker", keep_states=False) as index:
        index.add([{"id": "tea", "text": "Tea is hot."}])
    with running(ServerSettings(models=["bundled-tiny"], indexes={"docs": place})) as found:
        yield found


def ids(served: Running, query: str) -> list[str]:
    body = {"query": query, "top_k": 3}
    found = httpx2.post(f"{served.url}/api/v1/indexes/docs/search", json=body, timeout=60)
    assert found.status_code == 200, found.text
    return [row["id"] for row in found.json()["results"]]


def get(served: Running, path: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{served.url}{path}", timeout=60).json()
    return found


def test_what_another_process_adds_is_found(
    served: Running, place: str, tmp_path: Path
) -> None:
    assert ids(served, "ship in the harbor") == ["tea"]
    before = get(served, "/ready")["indexes"]["docs"]
    assert before["status"] == "ok"
    assert get(served, "/api/v1/indexes/docs")["version"] == before["version"]

    command = [sys.executable, "-c", _ADD, place, str(tmp_path / "other")]
    path = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(command, check=True, env=path, timeout=120)
    until(lambda: get(served, "/ready")["indexes"]["docs"]["version"] > before["version"])
    assert ids(served, "ship in the harbor")[0] == "ship"

    about = get(served, "/api/v1/indexes/docs")
    assert about["documents"] == 2
    assert about["version"] > before["version"]


def test_the_server_writes_by_its_lease(served: Running, place: str, tmp_path: Path) -> None:
    documents = f"{served.url}/api/v1/indexes/docs/documents"
    body = {"documents": [{"id": "key", "text": "The key is in the shed."}]}
    assert httpx2.post(documents, json=body, timeout=60).json()["added"] == 1
    assert ids(served, "where is the key")[0] == "key"
    assert httpx2.delete(documents, params={"id": "tea"}, timeout=60).json() == {"deleted": 1}
    with Index.open(place, create=False, local_folder=tmp_path / "reader") as index:
        batches = index.store.iter_documents()
        assert {document.id for batch in batches for document in batch} == {"key"}


def test_what_only_a_folder_has_is_refused_with_the_reason(served: Running) -> None:
    sets = httpx2.get(f"{served.url}/api/v1/indexes/docs/query-sets", timeout=60)
    assert sets.status_code == 403
    assert "object storage" in sets.text
    removed = httpx2.delete(f"{served.url}/api/v1/indexes/docs", timeout=60)
    assert removed.status_code == 403


def test_an_index_that_is_not_there_is_an_error_at_the_start(place: str) -> None:
    state = ServerState(ServerSettings(models=["bundled-tiny"], indexes={"docs": place}))
    try:
        with pytest.raises(IndexNotFoundError):
            state.load()
    finally:
        state.close()


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.EPERM, 403), (errno.EBUSY, 503), (errno.EHOSTUNREACH, 503), (None, 500)],
)
def test_statuses_of_the_storage(number: int | None, status: int) -> None:
    error = to_http_error(IndexStoreError("no", where="s3://x", errno=number))
    assert (error.status, "s3://x" in error.message) == (status, False)
