"""Converting files in a process of its own, within a time and a memory that are bounded."""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, MissingExtraError, ReadError

SECONDS, MEGABYTES = "SECONDPASS_READ_SECONDS", "SECONDPASS_READ_MB"
"""The environment variables of what one file may take."""
_DEFAULTS = {SECONDS: 300, MEGABYTES: 2048}
# The process ends itself a little later than it is ended, in case nobody is there to do it.
_LATER = 10


class Apart:
    """Converts one file after the other; safe to use from several threads at once.

    The process is started when it is first needed, and again after a file that ended it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._limits = (0, 0)
        self._reading: threading.Thread | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()

    def converted(self, path: Path) -> tuple[str, str | None]:
        """Return the Markdown of a PDF, DOCX or PPTX, and its title, if it has one.

        Raises ReadError for a file that cannot be read or takes too much, MissingExtraError
        where a package for its format is missing.
        """
        limits = seconds, megabytes = _limit(SECONDS), _limit(MEGABYTES)
        with self._lock:
            process = self._started(limits)
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(str(path.resolve())) + "\n")
                process.stdin.flush()
                line = self._answers.get(timeout=seconds)
            except queue.Empty:
                self._end()
                raise _too_much(path, f"it took over {seconds} seconds", SECONDS) from None
            except BrokenPipeError:
                line = None
            except BaseException:
                # What is left of the answer must not be taken for that to the next file.
                self._end()
                raise
            if line is None:
                raise _ended(path, self._end())
        return _read(json.loads(line), path, megabytes)

    def leave_off(self) -> None:
        """Let whoever waits for a file get a ReadError now."""
        self._end()

    def _started(self, limits: tuple[int, int]) -> subprocess.Popen[str]:
        there = self._process is not None and self._process.poll() is None
        if self._process is not None and there and self._limits == limits:
            return self._process
        self._end()
        self._limits = (seconds, megabytes) = limits
        command = [sys.executable, "-m", "secondpass.retrieve.readers.converting"]
        self._process = subprocess.Popen(
            [*command, str(seconds + _LATER), str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
            # Whatever made this module importable here.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._answers = queue.Queue()
        self._reading = threading.Thread(
            target=_pass_on,
            args=(self._process.stdout, self._answers),
            name="secondpass-converting",
            daemon=True,
        )
        self._reading.start()
        atexit.register(self._end)
        return self._process

    def _end(self) -> int | None:
        """End the process, if there is one, and return its status."""
        process, self._process = self._process, None
        if process is None:
            return None
        atexit.unregister(self._end)
        process.kill()
        if self._reading is not None:
            self._reading.join()
        for pipe in (process.stdin, process.stdout):
            # A path that was never read is still to be written.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return process.wait()


def _pass_on(lines: Any, answers: queue.Queue[str | None]) -> None:
    for line in lines:
        answers.put(line)
    answers.put(None)


def _read(told: dict[str, Any], path: Path, megabytes: int) -> tuple[str, str | None]:
    if "missing" in told:
        kind = told["missing"]
        raise MissingExtraError(
            f"reading .{kind}", package=f"markitdown[{kind}]", extra="ingest"
        )
    if "memory" in told:
        raise _too_much(path, f"it takes over {megabytes:,} MB of memory", MEGABYTES)
    if "why" in told:
        raise ReadError("the file cannot be read", where=str(path), why=told["why"])
    text, title = told["text"], told["title"]
    return "" if text is None else text, title


def _too_much(path: Path, why: str, variable: str) -> ReadError:
    return ReadError(
        "the file cannot be read",
        where=str(path),
        why=why,
        fix=f"If it is a good file, set {variable} higher.",
    )


def _ended(path: Path, status: int | None) -> ReadError:
    crashed = status is not None and status < 0
    return ReadError(
        "the file cannot be read",
        where=str(path),
        why=f"what reads it ended with status {status}",
        fix=None if crashed else "Install it again: pip install 'secondpass[ingest]'.",
    )


def _limit(variable: str) -> int:
    said = os.environ.get(variable, "")
    if not said:
        return _DEFAULTS[variable]
    if not said.isascii() or not said.isdecimal() or int(said) < 1:
        raise InputError(f"{variable} is {said!r}", why="it must be a whole number from 1 up")
    return int(said)
