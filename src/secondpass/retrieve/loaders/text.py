"""Plain text files: one document a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from secondpass.retrieve.loaders.base import Loader, read_text
from secondpass.types import Document


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document."""
    yield Document(read_text(path), name)


LOADER = Loader((".txt",), load, safe_bytes=2**24)
