"""A lock between processes, which ends with the process that holds it.

What SQLite says when a file of kept things cannot be used, in three kinds.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

Failure = sqlite3.Error | UnicodeDecodeError
FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What to catch: of a damaged schema SQLite quotes bytes that Python then cannot decode."""


def error_code(error: Failure) -> int:
    """Return the kind of an error, such as `sqlite3.SQLITE_CORRUPT`."""
    if isinstance(error, UnicodeDecodeError):
        return sqlite3.SQLITE_CORRUPT
    # The low byte is the kind of error; errors of the Python module itself have none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def reason(error: Failure) -> str:
    """Return what is wrong, for a message."""
    return "its schema is damaged" if isinstance(error, UnicodeDecodeError) else str(error)


def told(file: Path, error: Failure) -> str:
    """Return what to tell a user about a file that could not be used."""
    return f"{file.name} could not be used: {reason(error)}"


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Hold the lock of a file, made if absent, waiting for whoever holds it now.

    Raises OSError where the file cannot be made or the file system has no locks.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle)
        yield
    finally:
        # Closing lets go of it, as the end of the process does.
        os.close(handle)


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        import msvcrt
        import time

        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.05)
            else:
                return

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
