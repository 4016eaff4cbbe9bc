"""Debian's Redis on a free port of this machine, which can be killed, stopped and filled."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BINARY = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(
    BINARY is None, reason="redis-server is not installed (Debian: apt install redis-server)"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A server without files; `options` are those of its command line."""

    def __init__(self, *options: str, timeout_ms: int = 10_000) -> None:
        self.port, self.options, self.timeout_ms = free_port(), options, timeout_ms
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """A URL with a time-out that a busy machine keeps."""
        return f"redis://127.0.0.1:{self.port}/0?timeout_ms={self.timeout_ms}"

    def start(self) -> None:
        assert BINARY is not None
        self._process = subprocess.Popen(
            [
                *(BINARY, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", *self.options),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path("/"),
        )
        end = time.monotonic() + 60
        while not self._listens():
            assert time.monotonic() < end
            time.sleep(0.02)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.kill()

    def _send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def redis_server(*options: str, timeout_ms: int = 10_000) -> Iterator[RedisServer]:
    server = RedisServer(*options, timeout_ms=timeout_ms)
    try:
        yield server
    finally:
        server.stop()
