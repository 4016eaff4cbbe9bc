"""A server process: start it, wait until it is ready, measure its memory, stop it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

READY_SECONDS = 180


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A command that serves at `{port}`; `ready` is a path that returns 200 when ready."""

    def __init__(
        self, command: Sequence[str], *, ready: str, log: Path, threads: int | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._ready, self._log = ready, log
        self._environment = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        if threads is not None:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
                self._environment[name] = str(threads)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the server and wait until it is ready; raises RuntimeError if it fails."""
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stdout=output, stderr=output, env=self._environment
            )
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if httpx2.get(self.url + self._ready, timeout=2).status_code < 300:
                    return self
            except httpx2.HTTPError:
                time.sleep(0.2)
        self.stop()
        lines = self._log.read_text("utf-8", errors="replace").splitlines()
        raise RuntimeError("the server did not start:\n" + "\n".join(lines[-12:]))

    def megabytes(self) -> float:
        """Return the current resident size (Linux)."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def running(self) -> bool:
        """Return whether the process is running."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int | None:
        """Terminate the process and return its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def secondpass_command(*options: str) -> list[str]:
    """Return the command that starts secondpass's server."""
    return [sys.executable, "-m", "secondpass", "serve", "--port", "{port}", *options]
