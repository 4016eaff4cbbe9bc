"""A server with a data folder, and helpers to upload and search."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.settings import ServerSettings
from tests.server.conftest import Running, running

ACCOUNT = "/client/v4/accounts/acc"
FRANCE = "Paris is the capital of France. It stands on the river Seine."
WHALES = "Whales are mammals that live in the sea and breathe air."
BREAD = "Bread is made of flour, water and yeast, and baked in an oven."


@pytest.fixture(scope="module")
def server(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    data = tmp_path_factory.mktemp("data")
    with running(ServerSettings(models=[model], data=data)) as found:
        yield found


@pytest.fixture
def http(server: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url + ACCOUNT, timeout=60) as client:
        yield client


@pytest.fixture
def make(http: httpx2.Client, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make an instance for this test and return its path below the account."""

    def made(name: str = "docs", **settings: Any) -> str:
        number = abs(hash(request.node.nodeid)) % 10**8
        body = {"id": f"{name}-{number}", "cache": False, **settings}
        response = http.post("/ai-search/instances", json=body)
        assert response.status_code == 200, response.text
        return f"/ai-search/namespaces/default/instances/{body['id']}"

    return made


def put(
    http: httpx2.Client,
    path: str,
    key: str,
    content: str | bytes,
    *,
    wait: bool = True,
    kind: str = "text/markdown",
    **metadata: Any,
) -> dict[str, Any]:
    """Upload a file and return the item."""
    data = {"metadata": json.dumps(metadata), "wait_for_completion": str(wait).lower()}
    response = http.post(f"{path}/items", files={"file": (key, content, kind)}, data=data)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["result"]
    return found


def search(http: httpx2.Client, path: str, query: str, **retrieval: Any) -> list[Any]:
    """Return the chunks for a query, whatever their similarity."""
    options = {"retrieval": {"match_threshold": 0, **retrieval}}
    body = {"query": query, "ai_search_options": options}
    response = http.post(f"{path}/search", json=body)
    assert response.status_code == 200, response.text
    found: list[Any] = response.json()["result"]["chunks"]
    return found


def keys(chunks: list[Any]) -> list[str]:
    return [chunk["item"]["key"] for chunk in chunks]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
