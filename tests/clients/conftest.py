"""A server in a process of its own, with keys and an index, for clients of every kind."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.catalog import ROOT

QUERY = "How do I change my password?"
TEXTS = [
    "The sea is blue.",
    "To change the password, open the settings.",
    "Our pricing starts at $9.99/month",
    "Password rules: 8 characters",
]
INDEX = "docs"


@dataclass(frozen=True)
class Server:
    """A running server: its address, ports, and a key with all scopes but admin."""

    url: str
    port: int
    grpc_port: int
    key: str

    def post(self, path: str, body: Any) -> Any:
        """Post JSON and return the response; raises HTTPError."""
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=180) as response:
            return json.load(response)


def secondpass(*arguments: str) -> list[str]:
    """Return the command line of `secondpass`, in the environment of `make test`."""
    python = os.environ.get("SECONDPASS_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    return [python, "-m", "secondpass", *arguments]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("server")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    keys = str(place / "keys.json")
    scopes = [word for scope in ("rerank", "search", "write") for word in ("--scope", scope)]
    create = secondpass("keys", "create", "clients", *scopes, "--keys", keys, "--json")
    created = subprocess.run(
        create, env=environment, capture_output=True, text=True, check=True, timeout=180
    )
    serve = secondpass(
        *("serve", "--port", "0", "--grpc-port", "0", "--log", "json"),
        *("--keys", keys, "--data", str(place / "data")),
    )
    # A file, because a pipe that nobody reads would stop the server when it is full.
    log = place / "log"
    with (
        log.open("w") as written,
        subprocess.Popen(serve, env=environment, stderr=written, stdout=written) as process,
    ):
        try:
            url, grpc_port = _wait(process, log)
            port = urlsplit(url).port
            assert port is not None
            found = Server(url, port, grpc_port, json.loads(created.stdout)["key"])
            _fill(found)
            yield found
        finally:
            process.terminate()
            process.wait(180)


def _wait(process: subprocess.Popen[bytes], log: Path) -> tuple[str, int]:
    """Return the address and the port of gRPC that a server logs when it is ready."""
    while process.poll() is None:
        whole = [line for line in log.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        rows = [json.loads(line) for line in whole if line.startswith("{")]
        for row in rows:
            if row["message"].startswith("Uvicorn running on http://"):
                grpc_port = next(row["grpc_port"] for row in rows if "grpc_port" in row)
                return row["message"].split()[3], grpc_port
        time.sleep(0.1)
    raise AssertionError(f"the server ended:\n{log.read_text()}")


def _fill(server: Server) -> None:
    server.post("/api/v1/indexes", {"name": INDEX})
    documents = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)]
    server.post(f"/api/v1/indexes/{INDEX}/documents", {"documents": documents})


@pytest.fixture(scope="session")
def order(server: Server) -> list[int]:
    """The order of TEXTS by the native interface."""
    found = server.post("/api/v1/rerank", {"query": QUERY, "documents": TEXTS})
    return [row["index"] for row in found["results"]]


def pytest_configure() -> None:
    # No client here may ask anything but the server, nor tell its maker that it ran.
    os.environ.update(
        {
            "DO_NOT_TRACK": "1",
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "MEM0_TELEMETRY": "False",
            "NO_PROXY": "127.0.0.1",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
        }
    )
