"""The official clients, old and new, each in an interpreter of its own, and that for Node.

Those for Python are one distribution, so that only one of them could be imported here. They
are looked for in the folders that SECONDPASS_WEAVIATE3 and SECONDPASS_WEAVIATE4 name, or where
`make test` puts them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from secondpass.server.access.api_keys import KeyFile
from tests.server.conftest import running, serving
from tests.server.weaviate.conftest import settings

SCRIPTS = Path(__file__).parent / "clients"


def run(script: str, version: int, *arguments: str) -> None:
    said = os.environ.get(f"SECONDPASS_WEAVIATE{version}")
    folder = Path(sys.prefix) / f"weaviate{version}" if said is None else Path(said)
    if not (folder / "weaviate").is_dir():
        pytest.skip(f"weaviate-client {version} is not in {folder}: make test puts it there")
    environment = {**os.environ, "PYTHONPATH": str(folder), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["sdk_v3.py", "sdk_v4.py"])
def test_a_client_is_served(tmp_path: Path, script: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.create("client", ["search", "write"])
    with serving(settings("bundled", tmp_path, keys=keys.file)) as url:
        place = urlsplit(url)
        if script == "sdk_v3.py":
            run(script, 3, url, key)
        else:
            run(script, 4, str(place.hostname), str(place.port), key)


def test_a_client_is_served_by_grpc(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key, reader = keys.create("client", ["search", "write"]), keys.create("reader", ["search"])
    with running(settings("bundled", tmp_path, keys=keys.file, grpc_port=0)) as found:
        place = urlsplit(found.url)
        ports = (str(place.port), str(found.grpc_port))
        run("sdk_v4_grpc.py", 4, str(place.hostname), *ports, key, reader)


NODE = shutil.which("node") or ""
MODULES = Path(sys.prefix) / "node" / "node_modules"


@pytest.mark.skipif(not NODE, reason="there is no node on this machine")
@pytest.mark.skipif(
    not (MODULES / "weaviate-client").is_dir(),
    reason="weaviate-client for Node is not installed: make .venv/.node",
)
def test_the_client_for_node_is_served(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.create("client", ["search", "write"])
    with running(settings("bundled", tmp_path, keys=keys.file, grpc_port=0)) as found:
        place = urlsplit(found.url)
        given = {"host": place.hostname, "port": place.port, "grpcPort": found.grpc_port}
        done = subprocess.run(
            [NODE, str(SCRIPTS / "sdk_node.cjs"), json.dumps({**given, "key": key})],
            env={"NODE_PATH": str(MODULES)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
