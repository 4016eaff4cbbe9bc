"""The other end of a worker: starts it, asks it, ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed.engines import Setting
from speed.workloads import Query

WORKER = Path(__file__).with_name("worker.py")
LARGE = 1000.0
"""MB from which a process is not kept for the next workload: all engines have to fit into
the machine together, or they wait for its disk."""


class Worker:
    """An engine in its own process; alive until `close`, if need be in a new one.

    `absent` says why it cannot take part, else None. `load_seconds` and `load_megabytes`
    are of starting it first.
    """

    def __init__(self, name: str, setting: Setting, *, memory: float, log: Path) -> None:
        self.name = name
        self._log = log
        threads = str(setting.threads)
        self._environment = {
            **os.environ,
            **dict.fromkeys(
                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), threads
            ),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
        }
        self._command = [sys.executable, str(WORKER), name, str(setting.models)]
        self._command += [f"--threads={threads}", f"--max-length={setting.max_length}"]
        self._command += [f"--memory={memory}"]
        first = self._start()
        self.absent: str | None = first.get("absent", first.get("error"))
        self.load_seconds = float(first.get("seconds", 0.0))
        self.load_megabytes = float(first.get("peak", 0.0))

    def ask(self, queries: Sequence[Query], clients: int = 1) -> dict[str, Any]:
        """Return seconds and scores a query, or an `error`."""
        if self._process.poll() is not None:
            self._start()
        asked = [{"query": q.text, "texts": q.candidates} for q in queries]
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"queries": asked, "clients": clients}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": "its process ended"}
        reply = self._read()
        if reply.get("peak", 0.0) > LARGE:
            self.close()
        return reply

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _start(self) -> dict[str, Any]:
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                text=True,
                # An interrupt is for the one who asks; what was measured is still reported.
                start_new_session=True,
            )
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"error": f"its process ended with {self._process.wait()}"}
        found: dict[str, Any] = json.loads(line)
        return found
