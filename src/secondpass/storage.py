"""Files on disk: atomic replacement, locks between processes, SQLite error codes."""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

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


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o666) -> None:
    """Write a whole file in one atomic step; text is written as UTF-8 with LF line ends.

    After a crash the old file is there or the new one, never a part. `mode` are the
    permissions of the new file, less the umask. Raises OSError where the folder is missing or
    cannot be written; the old file then stays.
    """
    with open_replacement(path, mode=mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_replacement(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a binary stream whose content replaces `path` if the block ends without an error.

    The content goes to a temporary file in the same folder, is flushed to the disk (fsync),
    renamed, and then the folder is flushed too. See `replace_file`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can (POSIX)."""
    if os.name != "posix":
        return
    # Some network file systems cannot flush a folder; the file itself is on the disk.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
