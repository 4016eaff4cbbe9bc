"""The files as they were uploaded."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Container
from pathlib import Path

_FOLDER = "files"
_ABANDONED_SECONDS = 3600.0


class RawFiles:
    """A folder of files that are written once and never changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / _FOLDER

    def write(self, item: str, data: bytes, suffix: str) -> tuple[str, str]:
        """Store a file; return its name here and its SHA-256, once it is on the disk."""
        checksum = hashlib.sha256(data).hexdigest()
        name = f"{item}-{checksum[:32]}{suffix}"
        path = self.folder / name
        self.folder.mkdir(exist_ok=True)
        beside = path.with_name(f".{name}.{time.monotonic_ns()}.tmp")
        try:
            with beside.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        for folder in (self.folder, self.folder.parent):
            _sync(folder)
        return name, checksum

    def path(self, name: str) -> Path:
        """Return where a file is."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def tidy(self, known: Container[str]) -> None:
        """Remove what a crash has left: old files that nothing knows of."""
        if not self.folder.is_dir():
            return
        oldest = time.time() - _ABANDONED_SECONDS
        for path in self.folder.iterdir():
            # A young one may be on its way into the database.
            if path.name not in known and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make the names in a folder last; not every system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
