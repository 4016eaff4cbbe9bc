"""PDF, Word and PowerPoint, through markitdown: one document a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.retrieve.readers.base import unreadable
from secondpass.retrieve.readers.markdown import first_heading
from secondpass.types import Document


def read(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Give the file as one document, in Markdown; the title is the file's own or its first
    heading.

    Raises MissingExtraError without markitdown, ReadError for a file it cannot read.
    """
    converter = _converter()
    from markitdown import MarkItDownException, MissingDependencyException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = converter.convert_local(str(path))
    except MissingDependencyException as error:
        kind = path.suffix.lower().lstrip(".")
        raise MissingExtraError(
            f"reading {path.suffix}", package=f"markitdown[{kind}]", extra="ingest"
        ) from error
    except (MarkItDownException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    text = result.text_content if result.text_content is not None else ""
    title = result.title.strip() if result.title else first_heading(text)
    yield Document(text, name, title=title or None)


@cache
def _converter() -> Any:
    try:
        from markitdown import MarkItDown
        from markitdown.converters import DocxConverter, PdfConverter, PptxConverter
    except ImportError as error:
        raise MissingExtraError(
            "reading PDF, DOCX and PPTX", package="markitdown", extra="ingest"
        ) from error
    # Only these: the others would take a damaged file for plain text and give its bytes,
    # and what is read must not depend on which plugins are installed.
    converter = MarkItDown(enable_builtins=False, enable_plugins=False)
    kinds: tuple[Any, ...] = (DocxConverter, PdfConverter, PptxConverter)
    for kind in kinds:
        converter.register_converter(kind())
    return converter
