"""Markdown files: one document a file, its first heading as the title."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from secondpass.retrieve.loaders.base import Loader, read_text
from secondpass.types import Document

_FENCE = re.compile(
    r"^ {0,3}(`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<hash>[^\n]*?)[ \t]*#*[ \t]*$"
    r"|^ {0,3}(?P<line>[^\s#>*+-][^\n]*)\n {0,3}(?:=+|-{2,})[ \t]*$",
    re.MULTILINE,
)
_FRONT = re.compile(r"\A---[ \t]*\r?\n.*?^---[ \t]*\r?$\n?", re.MULTILINE | re.DOTALL)


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document, without its YAML front matter."""
    text = _FRONT.sub("", read_text(path), count=1)
    yield Document(text, name, first_heading(text))


LOADER = Loader((".md", ".markdown"), load)


def first_heading(text: str) -> str | None:
    """Return the text of the first heading outside of code blocks."""
    # A comment in a shell example is not a heading.
    heading = _HEADING.search(_FENCE.sub("", text))
    title = None if heading is None else heading["hash"] or heading["line"]
    return title.strip() if title else None
