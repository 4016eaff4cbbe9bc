"""Converting files in a process of its own, within a time and a memory that are bounded."""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, MissingExtraError, ReadError

SECONDS, MEGABYTES = "SECONDPASS_READ_SECONDS", "SECONDPASS_READ_MB"
"""The environment variables of what one file may take."""
_DEFAULTS = {SECONDS: 300, MEGABYTES: 2048}
_MOST = {SECONDS: 86_400, MEGABYTES: 2**20}
# The process ends itself a little later than it is ended, in case nobody is there to do it.
_LATER = 10
# Its packages are loaded before the first file, which is not that file's fault.
_START_SECONDS = 120

_left_off: ContextVar[threading.Event | None] = ContextVar("left_off", default=None)


@contextmanager
def until(left_off: threading.Event) -> Iterator[None]:
    """Let conversions that are asked for inside begin only while this is not set."""
    token = _left_off.set(left_off)
    try:
        yield
    finally:
        _left_off.reset(token)


class ConversionSandbox:
    """Converts one file after the other; safe to use from several threads at once.

    The process is started when it is first needed, and again after a file that ended it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def converted(self, path: Path) -> tuple[str, str | None]:
        """Return the Markdown of a PDF, DOCX or PPTX, and its title, if it has one.

        Raises ReadError for a file that cannot be read or takes too much, MissingExtraError
        where a package for its format is missing.
        """
        limits = seconds, megabytes = _limit(SECONDS), _limit(MEGABYTES)
        with self._lock:
            process = self._started(limits)
            left_off = _left_off.get()
            # After the start: whoever sets it later finds the process, and ends it.
            if left_off is not None and left_off.is_set():
                raise _unread(path, "nobody waits for it any more")
            try:
                line = process.asked(json.dumps(str(path.resolve())), seconds)
            except queue.Empty:
                self._end()
                raise _too_much(path, f"it took over {seconds} seconds", SECONDS) from None
            except BaseException:
                # What is left of the answer must not be taken for that to the next file.
                self._end()
                raise
            if line is None:
                status = self._end()
                raise _unread(path, f"what reads it ended with status {status}")
        return _read(json.loads(line), path, megabytes)

    def leave_off(self) -> None:
        """Let whoever waits for a file get a ReadError now."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process; it is started again when it is needed."""
        with self._lock:
            self._end()

    def _started(self, limits: tuple[int, int]) -> _Process:
        process = self._process
        if process is not None and process.limits == limits and process.runs:
            return process
        self._end()
        self._process = process = _Process(limits)
        atexit.register(process.end)
        if not process.ready():
            raise ReadError(
                "What reads PDF, DOCX and PPTX does not start",
                why=f"it ended with status {self._end()}",
                fix="Install it again: pip install 'secondpass[ingest]'.",
            )
        return process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        atexit.unregister(process.end)
        return process.end()


class _Process:
    """The process and the thread that listens to it; `limits` are seconds and megabytes."""

    def __init__(self, limits: tuple[int, int]) -> None:
        self.limits = seconds, megabytes = limits
        # Without -P a json.py in the current folder would be run. What is importable here is
        # importable there.
        command = [sys.executable, "-P", "-m", "secondpass.retrieve.loaders.sandbox_worker"]
        self._child = subprocess.Popen(
            [*command, str(seconds + _LATER), str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._listening = threading.Thread(
            target=self._listen, name="secondpass-converting", daemon=True
        )
        self._listening.start()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def ready(self) -> bool:
        """Wait until it can be asked; return whether it can."""
        with suppress(queue.Empty):
            return self._answers.get(timeout=_START_SECONDS) is not None
        return False

    def asked(self, line: str, seconds: float) -> str | None:
        """Return the answer to a line, None if the process ended; raises `queue.Empty`."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(f"{line}\n")
            self._child.stdin.flush()
        return self._answers.get(timeout=seconds)

    def kill(self) -> None:
        """Let it end, without waiting for it."""
        self._child.kill()

    def end(self) -> int:
        """End it and return its status: its own, if it was about to end by itself."""
        if not self._listening.is_alive():
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(1)
        self._child.kill()
        status = self._child.wait()
        self._listening.join()
        for pipe in (self._child.stdin, self._child.stdout):
            # A path that was never read is still to be written.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return status

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._answers.put(line)
        self._answers.put(None)


def _read(told: dict[str, Any], path: Path, megabytes: int) -> tuple[str, str | None]:
    if "missing" in told:
        kind = told["missing"]
        raise MissingExtraError(
            f"reading .{kind}", package=f"markitdown[{kind}]", extra="ingest"
        )
    if "memory" in told:
        raise _too_much(path, f"it takes over {megabytes:,} MB of memory", MEGABYTES)
    if "why" in told:
        raise _unread(path, told["why"])
    text, title = told["text"], told["title"]
    return "" if text is None else text, title


def _unread(path: Path, why: str, fix: str | None = None) -> ReadError:
    return ReadError("the file cannot be read", where=str(path), why=why, fix=fix)


def _too_much(path: Path, why: str, variable: str) -> ReadError:
    return _unread(path, why, f"If it is a good file, set {variable} higher.")


def _limit(variable: str) -> int:
    said = os.environ.get(variable, "")
    if not said:
        return _DEFAULTS[variable]
    most = _MOST[variable]
    if not said.isascii() or not said.isdecimal() or not 1 <= int(said) <= most:
        raise InputError(
            f"{variable} is {said[:80]!r}", why=f"it must be a whole number from 1 to {most:,}"
        )
    return int(said)
