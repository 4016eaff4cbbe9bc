"""What SQLite says when a file of kept things cannot be used, in three kinds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def error_code(error: sqlite3.Error) -> int:
    """Return the kind of an error, such as `sqlite3.SQLITE_CORRUPT`."""
    # The low byte is the kind of error; errors of the Python module itself have none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def told(file: Path, error: sqlite3.Error) -> str:
    """Return what to tell a user about a file that could not be used."""
    return f"{file.name} could not be used: {error}"
