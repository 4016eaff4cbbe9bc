"""Ingest manifest: digests of the files that were read, so that unchanged ones are skipped."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from secondpass.retrieve.loaders.base import read_error
from secondpass.retrieve.metadata import encode
from secondpass.retrieve.settings import write_json
from secondpass.storage import store_error
from secondpass.types import Document

FILE = "files.json"


class Manifest:
    """The source files of an index, each with a digest of its content and read settings.

    A file that was not read to its end has no digest. The index itself records its documents,
    so a lost or damaged manifest costs only time: files are read again.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._digests: dict[str, str | None] = {}
        self._changed = False
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))["files"]
            self._digests = {str(k): None if v is None else str(v) for k, v in stored.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._changed = True

    def __contains__(self, source: str) -> bool:
        return source in self._digests

    def digest(self, source: str) -> str | None:
        """Return the digest of a file when it was last read completely, or None."""
        return self._digests.get(source)

    def set(self, source: str, digest: str | None) -> None:
        """Record a file: None before its first document is stored, else its digest."""
        if source not in self._digests or self._digests[source] != digest:
            self._digests[source] = digest
            self._changed = True

    def remove(self, source: str) -> None:
        """Forget a file."""
        self._changed = self._digests.pop(source, None) is not None or self._changed

    def under(self, root: Path) -> Iterator[str]:
        """Yield the recorded files below a folder."""
        for source in list(self._digests):
            if Path(source).is_relative_to(root):
                yield source

    def save(self) -> None:
        """Write the manifest in one atomic step, if it has changed.

        Raises IndexStoreError where it cannot be written.
        """
        if not self._changed:
            return
        try:
            write_json(self._file, {"files": self._digests})
        except OSError as error:
            raise store_error(
                "the list of indexed files was not written", self._file, error
            ) from error
        self._changed = False


@dataclass(frozen=True, slots=True)
class Scan:
    """A file's digest, number of lines, at least 1, and size in bytes."""

    digest: str
    lines: int
    size: int


def scan(path: Path, settings: str) -> Scan:
    """Read a file for its digest, which covers the settings too; raises ReadError."""
    digest = hashlib.sha256(settings.encode())
    lines = size = 0
    gunzip = zlib.decompressobj(wbits=31) if path.suffix == ".gz" else None
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
                if gunzip is not None:
                    try:
                        block = gunzip.decompress(block)
                    except zlib.error:
                        # The count is only for the progress bar; the loader raises the error.
                        block, gunzip = b"", None
                lines += block.count(b"\n")
    except OSError as error:
        raise read_error(path, error) from error
    return Scan(digest.hexdigest(), max(1, lines), size)


def document_hash(document: Document, settings: str = "") -> str:
    """Return the digest of a document without its id, and of how it is chunked and embedded."""
    parts = (document.title, document.text, encode(document.metadata), settings)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
