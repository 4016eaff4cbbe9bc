"""Object storage of S3's kind on a free port of this machine: moto, as a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.loopback.redis_server import free_port

FOLDER = Path(sys.prefix) / "moto"
"""Where `make test` installs it: it and other packages need different versions of some."""


class ObjectServer:
    """A server with the bucket "bucket"; what it stores is lost when it ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            env={**os.environ, "PYTHONPATH": str(FOLDER)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 120
        while not self._listens():
            assert self._process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        self.make_bucket("bucket")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, str]:
        return {
            "aws_endpoint": self.endpoint,
            "aws_access_key_id": "testing",
            "aws_secret_access_key": "hidden",
            "aws_region": "us-east-1",
        }

    def use_prefix(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Give the environment the server and a cache of the test; return the test's URL."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.endpoint)
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_region"):
            monkeypatch.setenv(name.upper(), self.options[name])
        return f"s3://bucket/{folder.name}"

    def make_bucket(self, name: str) -> None:
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run a server; skips the test where moto is not installed."""
    pytest.importorskip("obstore", reason="the extra s3 is not installed")
    if not (FOLDER / "moto").is_dir():
        pytest.skip("moto is not installed (make test does it)")
    server = ObjectServer()
    try:
        yield server
    finally:
        server.stop()
