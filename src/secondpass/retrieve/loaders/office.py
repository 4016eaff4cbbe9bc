"""PDF, Word and PowerPoint, through markitdown: one document a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from secondpass.errors import MissingExtraError
from secondpass.retrieve.loaders.markdown import first_heading
from secondpass.retrieve.loaders.sandbox import ConversionSandbox
from secondpass.types import Document


def read(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Give the file as one document, in Markdown; the title is the file's own or its first
    heading.

    Raises MissingExtraError without markitdown, ReadError for a file it cannot read, or not
    within the time and memory that a file may take.
    """
    if importlib.util.find_spec("markitdown") is None:
        raise MissingExtraError(
            "reading PDF, DOCX and PPTX", package="markitdown", extra="ingest"
        )
    text, title = _apart().converted(path)
    title = title.strip() if title else first_heading(text)
    yield Document(text, name, title=title or None)


def leave_off() -> None:
    """Stop reading, in whatever thread: it raises ReadError there."""
    _apart().leave_off()


@cache
def _apart() -> ConversionSandbox:
    return ConversionSandbox()
