"""Digests of files and documents, by which unchanged ones are recognized."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from secondpass.retrieve.loaders.base import read_error
from secondpass.retrieve.metadata import encode
from secondpass.types import Document


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
