"""HTML files: one document a file, its visible text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from secondpass.errors import MissingExtraError
from secondpass.retrieve.loaders.base import Loader, read_error
from secondpass.types import Document

_INVISIBLE = (
    *("script", "style", "noscript", "template", "nav", "head", "svg", "iframe", "form"),
    *("[hidden]", "[aria-hidden=true]", "[role=navigation]"),
)
_BLOCKS = (
    *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "figure", "br"),
    *("figcaption", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li"),
    *("main", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul"),
)


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the page as one document; its title is `<title>`, else the first `<h1>`."""
    try:
        from bs4 import BeautifulSoup
    except ImportError as error:
        raise MissingExtraError(
            "reading HTML", package="beautifulsoup4", extra="index"
        ) from error
    try:
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    soup = BeautifulSoup(data, "html.parser")
    heading = soup.title if soup.title is not None else soup.h1
    title = None if heading is None else " ".join(heading.get_text(" ").split())
    for element in soup.select(", ".join(_INVISIBLE)):
        element.decompose()
    for element in soup.find_all(_BLOCKS):
        element.insert_before("\n")
        element.insert_after("\n")
    text = re.sub(r"[^\S\n]+", " ", soup.get_text())
    text = re.sub(r" ?\n[ \n]*\n ?", "\n\n", re.sub(r" ?\n ?", "\n", text)).strip()
    yield Document(text, name, title=title or None)


LOADER = Loader((".html", ".htm"), load)
