"""PDF, Word and PowerPoint files, through markitdown: one document a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from secondpass.errors import MissingExtraError
from secondpass.retrieve.loaders.base import Loader
from secondpass.retrieve.loaders.markdown import first_heading
from secondpass.retrieve.loaders.sandbox import ConversionSandbox
from secondpass.types import Document


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document, in Markdown; titled by its properties or first heading.

    Raises MissingExtraError without markitdown, ReadError for a file that cannot be read or
    exceeds the limits of time and memory.
    """
    if importlib.util.find_spec("markitdown") is None:
        raise MissingExtraError(
            "reading PDF, DOCX and PPTX", package="markitdown", extra="ingest"
        )
    text, title = sandbox().convert(path)
    title = title.strip() if title else first_heading(text)
    yield Document(text, name, title=title or None)


LOADER = Loader((".pdf", ".docx", ".pptx"), load)


@cache
def sandbox() -> ConversionSandbox:
    """Return the sandbox that all conversions of this process share."""
    return ConversionSandbox()
