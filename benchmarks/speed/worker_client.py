"""Client of a worker process: starts it, sends requests, stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speed.engines import EngineSettings
from speed.workloads import Query

WORKER = Path(__file__).with_name("worker.py")
MAX_IDLE_MEGABYTES = 1000.0
"""A process with more memory is stopped after a workload: all engines have to fit into memory
together, or the machine swaps."""


class Worker:
    """An engine in a process of its own, restarted if needed, until `close`.

    `absent` says why it is not available, else None. `load_seconds` and `load_megabytes` are
    those of the first start.
    """

    def __init__(
        self, name: str, settings: EngineSettings, *, memory: float, log: Path
    ) -> None:
        self.name = name
        self._log = log
        threads = str(settings.threads)
        self._environment = {
            **os.environ,
            **dict.fromkeys(
                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), threads
            ),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
        }
        self._command = [sys.executable, str(WORKER), name, str(settings.models)]
        self._command += [f"--threads={threads}", f"--max-length={settings.max_length}"]
        self._command += [f"--memory={memory}"]
        first = self._start()
        self.absent: str | None = first.get("absent", first.get("error"))
        self.load_seconds = float(first.get("seconds", 0.0))
        self.load_megabytes = float(first.get("peak", 0.0))

    def ask(self, queries: Sequence[Query], clients: int = 1) -> dict[str, Any]:
        """Return the seconds and scores of each query, or an `error`."""
        if self._process.poll() is not None:
            self._start()
        rows = [{"query": q.text, "texts": q.candidates} for q in queries]
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"queries": rows, "clients": clients}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": "its process ended"}
        reply = self._read()
        if reply.get("peak", 0.0) > MAX_IDLE_MEGABYTES:
            self.close()
        return reply

    def close(self) -> None:
        """Stop the process."""
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
                # An interrupt is for the parent, which still reports the completed rounds.
                start_new_session=True,
            )
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"error": f"its process ended with {self._process.wait()}"}
        reply: dict[str, Any] = json.loads(line)
        return reply
