"""Sandbox of the loaders: files are read in a child process with limits of time and memory."""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from secondpass.errors import InputError, MissingExtraError, ReadError
from secondpass.retrieve.loaders.base import Batch
from secondpass.retrieve.metadata import decode
from secondpass.types import Document

SECONDS, MEGABYTES = "SECONDPASS_READ_SECONDS", "SECONDPASS_READ_MB"
CHARACTERS = "SECONDPASS_READ_CHARACTERS"
"""Environment variables: the limits for one file."""
_DEFAULTS = {SECONDS: 300, MEGABYTES: 2048, CHARACTERS: 50_000_000}
_MAXIMUM = {SECONDS: 86_400, MEGABYTES: 2**20, CHARACTERS: 2**31 - 1}
# The child ends itself this much after the parent should have, in case the parent is gone.
GRACE_SECONDS = 10
# Packages are imported before the first file, and do not count against its time.
_START_SECONDS = 120
_MAX_IDLE = 1


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The limits for one file.

    - `seconds`: until its text, or the next of its rows, must be there.
    - `megabytes`: of memory beyond what the process has before it; on Linux only.
    - `characters`: of text that a document may have; the rest is cut, and counted.
    """

    seconds: int
    megabytes: int
    characters: int

    @classmethod
    def from_environment(cls, **defaults: int) -> ReadLimits:
        """Return the limits that the environment sets, and the defaults for others.

        Raises InputError for a variable that is not a whole number in its range.
        """
        names = {"seconds": SECONDS, "megabytes": MEGABYTES, "characters": CHARACTERS}
        return cls(
            **{
                name: _limit(variable, defaults.get(name, _DEFAULTS[variable]))
                for name, variable in names.items()
            }
        )


class FileRead(Iterator[Document]):
    """The documents of one file; `close` ends the reading before its end.

    - `cut`: how many characters were not read because a document had too many.
    - `left_out`: how much the loader left out on purpose, by kind, such as "comments".
    - `skipped`: the rows that could not be read, unless one ends the file.

    All are complete after the last document. Iterating raises ReadError for a file that
    cannot be read or exceeds the limits of time and memory, MissingExtraError if a package for
    its format is missing.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.cut = 0
        self.left_out: Mapping[str, int] = {}
        self.skipped: list[ReadError] = []
        self._batches = batches
        self._documents: deque[Document] = deque()

    def __next__(self) -> Document:
        while not self._documents:
            batch = next(self._batches)
            self.cut, self.left_out = batch.cut, batch.left_out
            self.skipped += batch.skipped
            self._documents.extend(batch.documents)
        return self._documents.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reading, if it has not ended."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


class Cancellation:
    """Ends the reading of a file from another thread; reading then raises ReadError."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._process: _Process | None = None

    def cancel(self) -> None:
        """End the reading, also one that begins later."""
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()

    def watch(self, process: _Process | None, path: Path) -> None:
        """Set the process that `cancel` ends; raises ReadError after that."""
        with self._lock:
            if self._cancelled and process is not None:
                raise _read_error(path, "the reading was cancelled")
            self._process = process


class Sandbox:
    """Reads each file in a child process; safe to use from several threads.

    A process reads one file after the other, and is replaced after a file that ended it or
    left it with much memory. One that is not in use is kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    def read(
        self,
        path: Path,
        name: str,
        fields: Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
        *,
        limits: ReadLimits,
        cancellation: Cancellation | None = None,
        strict: bool = True,
    ) -> Iterator[Batch]:
        """Yield the documents of a file, as `files.load_batches` does in this process."""
        request = {
            "path": str(path.absolute()),
            "name": name,
            "fields": None if fields is None else list(fields),
            "kinds": None if kinds is None else dict(kinds),
            "seconds": limits.seconds,
            "megabytes": limits.megabytes,
            "characters": limits.characters,
            "strict": strict,
        }
        handle = Cancellation() if cancellation is None else cancellation
        process = self._take()
        # Whatever ends this early must not leave a result for the next file.
        reusable = False
        try:
            handle.watch(process, path)
            process.prepare(path.suffix.lower())
            more, message = True, json.dumps(request)
            while more:
                reply = _request(process, message, path, limits)
                message, more = "null", not reply.get("last", True)
                reusable = not more and not reply.get("retire", False)
                _raise_error(reply, path, limits)
                yield Batch(
                    [_decode(document) for document in reply["documents"]],
                    left_out=reply["left_out"],
                    cut=reply["cut"],
                    skipped=[_decode_error(error) for error in reply["skipped"]],
                    last=not more,
                )
        finally:
            handle.watch(None, path)
            self._give_back(process, reusable=reusable)

    def close(self) -> None:
        """End the processes that are not in use; others are started when they are needed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    def _take(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_running:
                    return process
                process.end()
        return _Process()

    def _give_back(self, process: _Process, *, reusable: bool) -> None:
        with self._lock:
            if reusable and len(self._idle) < _MAX_IDLE:
                self._idle.append(process)
                return
        process.end()


class _Process:
    """A child process, and the thread that reads its output."""

    def __init__(self) -> None:
        # Without -P a json.py in the current folder would be run. The child has the same
        # import path as this process.
        command = [sys.executable, "-P", "-m", "secondpass.retrieve.loaders.sandbox_worker"]
        path = os.pathsep.join(filter(None, sys.path))
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            # Each arena of the allocator would count 64 MB of address space as memory.
            env={**os.environ, "PYTHONPATH": path, "MALLOC_ARENA_MAX": "2"},
        )
        self._prepared: set[str] = set()
        self._replies: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(
            target=self._read_output, name="secondpass-reading", daemon=True
        )
        self._thread.start()
        atexit.register(self.end)

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self._child.poll() is None

    def prepare(self, suffix: str) -> None:
        """Let it import what the format needs; raises ReadError if it does not start."""
        if suffix in self._prepared:
            return
        reply = None
        with suppress(queue.Empty):
            reply = self.request(json.dumps({"prepare": suffix}), _START_SECONDS)
        if reply is None:
            raise ReadError(
                f"The process that reads {suffix} files does not start",
                why=f"it exited with status {self.end()}",
                fix="Install it again: pip install 'secondpass[index,ingest]'.",
            )
        self._prepared.add(suffix)

    def request(self, line: str, seconds: float) -> str | None:
        """Send a line and return the reply, or None if the process ended.

        Raises `queue.Empty` after so many seconds.
        """
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(f"{line}\n")
            self._child.stdin.flush()
        return self._replies.get(timeout=seconds)

    def kill(self) -> None:
        """Kill the process, without waiting for it."""
        self._child.kill()

    def end(self) -> int:
        """End the process; return its exit status: its own, if it was already exiting."""
        atexit.unregister(self.end)
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
            self._replies.put(line)
        self._replies.put(None)


def _request(process: _Process, message: str, path: Path, limits: ReadLimits) -> dict[str, Any]:
    try:
        line = process.request(message, limits.seconds)
    except queue.Empty:
        why = f"it took over {limits.seconds} seconds"
        raise _limit_error(path, why, SECONDS) from None
    if line is None:
        status = process.end()
        raise _read_error(path, f"the process that reads it exited with status {status}")
    reply: dict[str, Any] = json.loads(line)
    return reply


def _raise_error(reply: Mapping[str, Any], path: Path, limits: ReadLimits) -> None:
    if "missing" in reply:
        what, package, extra = reply["missing"]
        raise MissingExtraError(what, package=package, extra=extra)
    if "memory" in reply:
        why = f"it takes over {limits.megabytes:,} MB of memory"
        raise _limit_error(path, why, MEGABYTES)
    if "error" in reply:
        raise _decode_error(reply["error"])


def _decode_error(values: Sequence[Any]) -> ReadError:
    what, where, why, fix = values
    return ReadError(what, where=where, why=why, fix=fix)


def _decode(values: Sequence[Any]) -> Document:
    text, name, title, metadata, unstorable = values
    fields = decode(metadata)
    for key, kind in unstorable.items():
        # A value of a type that no index stores: it is refused by its type's name.
        fields[key] = type(kind, (), {})()
    return Document(text, name, title=title, metadata=fields)


def _read_error(path: Path, why: str, fix: str | None = None) -> ReadError:
    return ReadError("the file cannot be read", where=str(path), why=why, fix=fix)


def _limit_error(path: Path, why: str, variable: str) -> ReadError:
    return _read_error(path, why, f"If the file is valid, set {variable} higher.")


def _limit(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return default
    maximum = _MAXIMUM[variable]
    if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= maximum:
        raise InputError(
            f"{variable} is {value[:80]!r}",
            why=f"it must be a whole number from 1 to {maximum:,}",
        )
    return int(value)
