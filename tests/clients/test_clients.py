"""One real call of each client of clients.toml, against a server in its own process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.clients import callers
from tests.clients.callers import TOP
from tests.clients.catalog import FOLDER, ROOT, Client, installed_version, read_catalog
from tests.clients.conftest import INDEX, QUERY, TEXTS, Server

HERE = [client for client in read_catalog() if client.is_run_here]
PYTHON = [client for client in HERE if client.npm is None]
NODE = [client for client in HERE if client.npm is not None]
MODULES = Path(sys.prefix) / "node" / "node_modules"
SHIM = ROOT / "deploy" / "cloudflare" / "worker.mjs"


def skip_without_node(client: Client) -> None:
    """Skip, with the reason, where Node or the package is not there, or Node is too old."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    manifest = MODULES / str(client.npm) / "package.json"
    if not manifest.is_file():
        pytest.skip(f"{client.npm} is not installed: make test-clients installs it")
    said = json.loads(manifest.read_text("utf-8"))
    assert said["version"] == installed_version(client)
    version = subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    needed = said.get("engines", {}).get("node", ">=0").removeprefix(">=").partition(".")[0]
    oldest = max(int(needed), client.node)
    if int(version.removeprefix("v").partition(".")[0]) < oldest:
        pytest.skip(f"{client.npm} needs Node {oldest}, and this is {version}")


def run_node(program: str, given: dict[str, Any]) -> Any:
    done = subprocess.run(
        ["node", str(FOLDER / "node" / program), json.dumps(given)],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(found: list[int] | str, order: list[int]) -> None:
    """Compare what a client was told with the native interface: an order, or an answer."""
    if isinstance(found, str):
        assert "open the settings" in found
    else:
        assert found[:TOP] == order[:TOP]


def call_in_process(call: str, server: Server, variables: dict[str, str]) -> Any:
    """Call a client that reads environment variables when it is imported."""
    program = (
        "import json, sys\n"
        "from tests.clients import callers, conftest\n"
        "call, server = json.loads(sys.argv[1])\n"
        "print(json.dumps(getattr(callers, call)(conftest.Server(**server), {})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([call, asdict(server)])],
        env={**os.environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("client", PYTHON, ids=lambda client: client.key)
def test_client(client: Client, server: Server, order: list[int]) -> None:
    call = client.key.replace("-", "_")
    settings = client.values(url=server.url)
    if client.setting.isupper():
        check(call_in_process(call, server, settings), order)
    else:
        check(getattr(callers, call)(server, settings), order)


@pytest.mark.parametrize(
    "client", [c for c in NODE if c.npm != "miniflare"], ids=lambda client: client.key
)
def test_client_for_node(client: Client, server: Server, order: list[int]) -> None:
    skip_without_node(client)
    settings = client.values(url=server.url, port=server.port, grpc_port=server.grpc_port)
    given = {"settings": settings, "key": server.key, "query": QUERY, "texts": TEXTS}
    check(run_node(f"{client.key}.cjs", {**given, "top": TOP, "index": INDEX}), order)


def test_versions_are_those_of_the_requirements() -> None:
    from importlib.metadata import version

    for client in PYTHON:
        assert client.package is not None
        assert version(client.package) == installed_version(client), client.package


@pytest.fixture(scope="module")
def worker(server: Server) -> Any:
    """Run a Worker with the shim bound to an instance that has one file."""
    (client,) = (one for one in NODE if one.npm == "miniflare")
    skip_without_node(client)
    account = f"{server.url}/client/v4/accounts/any/ai-search/namespaces/default"
    path = account.removeprefix(server.url) + "/instances"
    server.post(path, {"id": "my-instance"})
    text = "# Cloudflare\n\nCloudflare is a company that runs a content delivery network.\n"
    settings = client.values(url=server.url) | {"SECONDPASS_KEY": server.key}
    run = {"shim": str(SHIM), "settings": settings}
    uploaded = run_node(
        "cloudflare-worker.cjs", {**run, "worker": "worker-upload.js", "text": text}
    )
    assert uploaded["status"] == "completed"
    return lambda worker: run_node("cloudflare-worker.cjs", {**run, "worker": worker})


def test_cloudflares_example_runs_unchanged(worker: Any) -> None:
    found = worker("worker-example.js")
    assert found["search_query"] == "What is Cloudflare?"
    (chunk,) = found["chunks"]
    assert chunk["item"]["key"] == "cloudflare.md"
    assert 0.5 < chunk["scoring_details"]["reranking_score"] <= 1


def test_every_call_of_the_bindings(worker: Any) -> None:
    said = worker("worker-calls.js")
    assert said["created"] == "other"
    assert said["listed"] == ["my-instance", "other"]
    assert said["updated"] == 7
    assert said["uploaded"] == ["soup.md", "completed", "menu"]
    assert said["items"] == ["soup.md"]
    assert said["chunks"] == 1
    assert said["file"] == ["soup.md", True, "# Soup\n\nSoup is served at noon.\n"]
    assert said["synced"] == "soup.md"
    assert said["jobs"] == 1
    for name in ("logs", "job", "job_logs", "cancelled", "stats"):
        assert said[name] is True, name
    answer, chunks = said["chat"]
    assert "content delivery network" in answer
    assert chunks == 1
    assert said["streamed"].endswith("data: [DONE]\n\n")
    assert said["one"] == "cloudflare.md"
    assert said["one_items"] == ["cloudflare.md"]
    assert set(said["several"]) <= {"my-instance", "other"}
    assert said["deleted"] == ["my-instance"]


def test_failures_have_the_names_of_the_binding(worker: Any) -> None:
    said = worker("worker-failures.js")
    assert "AiSearchNotFoundError: secondpass answered 404" in said["instance"]
    assert "AiSearchNotFoundError: secondpass answered 404" in said["item"]
    assert "AiSearchInternalError: secondpass answered 400: query is missing" in said["request"]
    # A name must not lead to another path of the server.
    assert "AiSearchNameNotSetError" in said["path"]
    assert "AiSearchNameNotSetError" in said["empty"]
