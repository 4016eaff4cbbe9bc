from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from secondpass.server.app import create_app
from secondpass.server.serve import make_server
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from tests.tiny_models import tiny_reader

QUERY = "a river and the sea"
TEXTS = ["bread and water", "the river meets the sea", "a slow ship", "the sea"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("served")
    tiny_reader(folder)
    return str(folder)


@dataclass
class Running:
    """A server in a thread, its addresses and its insides; port 0 where there is no gRPC."""

    url: str
    state: ServerState
    server: uvicorn.Server
    grpc_port: int = 0


@contextmanager
def serving(settings: ServerSettings) -> Iterator[str]:
    """Run a server in a thread on a free port; yields its base URL."""
    with running(settings) as found:
        yield found.url


@contextmanager
def running(settings: ServerSettings, traces: Any = None) -> Iterator[Running]:
    """Do as `serving`, and yield more of it."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    app = create_app(settings, traces=traces)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        grpc = app.state.grpc
        yield Running(url, app.state.server, server, 0 if grpc is None else grpc.port)
    finally:
        server.should_exit = True
        thread.join(30)
        taken.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def url(model: str) -> Iterator[str]:
    with serving(ServerSettings(models=[model])) as found:
        yield found


@pytest.fixture
def http(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def expected(model: str) -> list[int]:
    """The order of TEXTS for QUERY."""
    from secondpass import Reranker

    return [r.index for r in Reranker(model).rerank(QUERY, TEXTS).results]


def keyed(tmp_path: Path, model: str, **more: Any) -> ServerSettings:
    return ServerSettings(models=[model], keys=tmp_path / "keys.json", **more)


@pytest.fixture
def searchable(tmp_path: Path, model: str) -> Iterator[Running]:
    """A server with room for indexes, asked by anybody."""
    with running(ServerSettings(models=[model], data=tmp_path / "data")) as found:
        yield found
