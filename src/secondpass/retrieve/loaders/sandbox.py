"""Conversion sandbox: files are converted in a child process with limits of time and memory."""

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
"""Environment variables: the limits for one file."""
_DEFAULTS = {SECONDS: 300, MEGABYTES: 2048}
_MAXIMUM = {SECONDS: 86_400, MEGABYTES: 2**20}
# The child ends itself this much after the parent should have, in case the parent is gone.
_GRACE_SECONDS = 10
# Packages are imported before the first file, and do not count against its time.
_START_SECONDS = 120

_cancelled: ContextVar[threading.Event | None] = ContextVar("cancelled", default=None)


@contextmanager
def cancel_on(cancelled: threading.Event) -> Iterator[None]:
    """Make conversions in this block raise ReadError at their start if the event is set.

    Set the event first and then call `ConversionSandbox.cancel`, to end one that is running.
    """
    token = _cancelled.set(cancelled)
    try:
        yield
    finally:
        _cancelled.reset(token)


class ConversionSandbox:
    """Converts files one at a time in a child process; safe to use from several threads.

    The process is started when it is first needed, and again after a file that ended it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def convert(self, path: Path) -> tuple[str, str | None]:
        """Convert a PDF, DOCX or PPTX to Markdown; return that and the title, or None.

        Raises ReadError for a file that cannot be read or exceeds a limit, MissingExtraError
        if a package for its format is missing.
        """
        limits = seconds, megabytes = _limit(SECONDS), _limit(MEGABYTES)
        with self._lock:
            process = self._start(limits)
            cancelled = _cancelled.get()
            # After the start, so that a `cancel` that comes later finds the process.
            if cancelled is not None and cancelled.is_set():
                raise _conversion_error(path, "the conversion was cancelled")
            try:
                line = process.request(json.dumps(str(path.resolve())), seconds)
            except queue.Empty:
                self._end()
                raise _limit_error(path, f"it took over {seconds} seconds", SECONDS) from None
            except BaseException:
                # The result of this file must not be taken for that of the next.
                self._end()
                raise
            if line is None:
                status = self._end()
                raise _conversion_error(
                    path, f"the converter process exited with status {status}"
                )
        return _parse_result(json.loads(line), path, megabytes)

    def cancel(self) -> None:
        """End the running conversion, which raises ReadError in its thread."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process; it is started again when it is needed."""
        with self._lock:
            self._end()

    def _start(self, limits: tuple[int, int]) -> _Process:
        process = self._process
        if process is not None and process.limits == limits and process.is_running:
            return process
        self._end()
        self._process = process = _Process(limits)
        atexit.register(process.end)
        if not process.wait_until_ready():
            raise ReadError(
                "The converter of PDF, DOCX and PPTX does not start",
                why=f"the process exited with status {self._end()}",
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
    """The child process and the thread that reads its output; `limits`: seconds, megabytes."""

    def __init__(self, limits: tuple[int, int]) -> None:
        self.limits = seconds, megabytes = limits
        # Without -P a json.py in the current folder would be run. The child has the same
        # import path as this process.
        command = [sys.executable, "-P", "-m", "secondpass.retrieve.loaders.sandbox_worker"]
        self._child = subprocess.Popen(
            [*command, str(seconds + _GRACE_SECONDS), str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._results: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(
            target=self._read_output, name="secondpass-conversion", daemon=True
        )
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self._child.poll() is None

    def wait_until_ready(self) -> bool:
        """Wait until the process can convert files; return whether it can."""
        with suppress(queue.Empty):
            return self._results.get(timeout=_START_SECONDS) is not None
        return False

    def request(self, line: str, seconds: float) -> str | None:
        """Send a line and return the result, or None if the process ended.

        Raises `queue.Empty` after so many seconds.
        """
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(f"{line}\n")
            self._child.stdin.flush()
        return self._results.get(timeout=seconds)

    def kill(self) -> None:
        """Kill the process, without waiting for it."""
        self._child.kill()

    def end(self) -> int:
        """End the process; return its exit status: its own, if it was already exiting."""
        if not self._thread.is_alive():
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(1)
        self._child.kill()
        status = self._child.wait()
        self._thread.join()
        for pipe in (self._child.stdin, self._child.stdout):
            # Closing flushes a path that the child never read.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return status

    def _read_output(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._results.put(line)
        self._results.put(None)


def _parse_result(result: dict[str, Any], path: Path, megabytes: int) -> tuple[str, str | None]:
    if "missing" in result:
        suffix = result["missing"]
        raise MissingExtraError(
            f"reading .{suffix}", package=f"markitdown[{suffix}]", extra="ingest"
        )
    if "memory" in result:
        raise _limit_error(path, f"it takes over {megabytes:,} MB of memory", MEGABYTES)
    if "why" in result:
        raise _conversion_error(path, result["why"])
    text, title = result["text"], result["title"]
    return "" if text is None else text, title


def _conversion_error(path: Path, why: str, fix: str | None = None) -> ReadError:
    return ReadError("the file cannot be read", where=str(path), why=why, fix=fix)


def _limit_error(path: Path, why: str, variable: str) -> ReadError:
    return _conversion_error(path, why, f"If the file is valid, set {variable} higher.")


def _limit(variable: str) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return _DEFAULTS[variable]
    maximum = _MAXIMUM[variable]
    if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= maximum:
        raise InputError(
            f"{variable} is {value[:80]!r}",
            why=f"it must be a whole number from 1 to {maximum:,}",
        )
    return int(value)
