"""Word and PowerPoint files, through markitdown: one document a file."""

from __future__ import annotations

import importlib.util
import io
import posixpath
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.retrieve.loaders.base import Loader, leave_out, loading, read_error
from secondpass.retrieve.loaders.markdown import first_heading
from secondpass.types import Document

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_V = "{urn:schemas-microsoft-com:vml}"
# Their content is text of the document, but the converter knows none of them.
_WRAPPERS = tuple(
    f"{_W}{name}"
    for name in ("customXml", "fldSimple", "dir", "bdo", "moveTo", "ruby", "rubyBase")
)
_BOX, _TEXT = f"{_W}txbxContent", (f"{_W}t", f"{_A}t")
_PARAGRAPH = (f"{_W}p", f"{_A}p")


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document, in Markdown; titled by its properties or first heading.

    Headers, footers and the text of diagrams follow the body. Raises MissingExtraError without
    markitdown, ReadError for a file that cannot be read.
    """
    check_converter()
    more: list[str] = []
    try:
        data = io.BytesIO(path.read_bytes())
        if zipfile.is_zipfile(data):
            with zipfile.ZipFile(data) as archive:
                if path.suffix.lower() == ".docx":
                    data, more = _read_docx(archive)
                else:
                    more = _read_pptx(archive)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise read_error(path, error) from error
    text, title = convert(path, data)
    yield make_document(text, more, name, title)


def make_document(text: str, more: Sequence[str], name: str, title: str | None) -> Document:
    """Return the document of a converted file; `more` are texts that the converter left out."""
    title = title.strip() if title else first_heading(text)
    return Document("\n\n".join([text.rstrip(), *more]), name, title=title or None)


def check_converter() -> None:
    """Raise MissingExtraError without markitdown."""
    if importlib.util.find_spec("markitdown") is None:
        raise MissingExtraError(
            "reading PDF, DOCX and PPTX", package="markitdown", extra="ingest"
        )


def convert(path: Path, data: io.BytesIO) -> tuple[str, str | None]:
    """Convert the content of a file to Markdown; return that and the title, or None.

    Raises ReadError for what cannot be read, MissingExtraError, MemoryError.
    """
    from markitdown import MarkItDownException, MissingDependencyException

    suffix = path.suffix.lower()
    data.seek(0)
    try:
        result = _converter().convert_stream(data, file_extension=suffix)
    except MissingDependencyException as error:
        package = f"markitdown[{suffix[1:]}]"
        raise MissingExtraError(f"reading {suffix}", package=package, extra="ingest") from error
    except (MarkItDownException, OSError, ValueError, RecursionError) as error:
        # markitdown wraps every other error in one of its own.
        if "MemoryError" in str(error):
            raise MemoryError from error
        raise read_error(path, error) from error
    return result.text_content or "", result.title


def prepare() -> None:
    """Import the packages for this format."""
    if importlib.util.find_spec("markitdown") is not None:
        _converter()


LOADER = Loader((".docx", ".pptx"), load, version=2, prepare=prepare)


@cache
def _converter() -> Any:
    from markitdown import MarkItDown
    from markitdown.converters import DocxConverter, PdfConverter, PptxConverter

    # Only these: the others would read a damaged file as plain text, and the result must not
    # depend on installed plugins.
    converter = MarkItDown(enable_builtins=False, enable_plugins=False)
    kinds: tuple[Any, ...] = (DocxConverter, PdfConverter, PptxConverter)
    for kind in kinds:
        converter.register_converter(kind())
    return converter


def _read_docx(archive: zipfile.ZipFile) -> tuple[io.BytesIO, list[str]]:
    """Return the file with all text where the converter finds it, and what is beside the body.

    The file is also cut to the limit of characters, because converting takes a minute for a
    text that unpacks to sixty megabytes.
    """
    body = next((part for kind, part in _related(archive, "") if kind == "officeDocument"), "")
    root = _parse(archive, body)
    _unwrap(root)
    _expose_boxes(root)
    _cut(root)
    leave_out("tracked deletions", sum(1 for _ in root.iter(f"{_W}del")))
    leave_out("embedded documents", sum(1 for _ in root.iter(f"{_W}altChunk")))
    beside: list[str] = []
    for kind, part in _related(archive, body):
        if kind == "comments":
            comments = _parse(archive, part).iter(f"{_W}comment")
            leave_out("comments", sum(1 for _ in comments))
        elif kind in ("header", "footer", "diagramData", "chart"):
            text = _text_of(_parse(archive, part))
            # The first page, even pages and each section often have the same.
            beside += [text] if text and text not in beside else []
    from lxml import etree

    rewritten = io.BytesIO()
    with zipfile.ZipFile(rewritten, "w") as copy:
        for entry in archive.infolist():
            if entry.filename == body:
                copy.writestr(entry.filename, etree.tostring(root, encoding="utf-8"))
            else:
                copy.writestr(entry.filename, archive.read(entry))
    return rewritten, beside


def _read_pptx(archive: zipfile.ZipFile) -> list[str]:
    names = sorted(archive.namelist())
    leave_out("files of comments", sum(1 for name in names if name.startswith("ppt/comments/")))
    diagrams = [name for name in names if name.startswith("ppt/diagrams/data")]
    return list(filter(None, (_text_of(_parse(archive, name)) for name in diagrams)))


def _parse(archive: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree

    # No entities, which can grow; text nodes may be large, as memory has its own limit.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    return etree.fromstring(archive.read(name), parser)


def _related(archive: zipfile.ZipFile, part: str) -> list[tuple[str, str]]:
    """Return the (kind, name) of the parts of the archive that a part refers to."""
    folder, _, base = part.rpartition("/")
    name = posixpath.join(folder, "_rels", f"{base}.rels")
    if name not in archive.namelist():
        return []
    found = []
    for relation in _parse(archive, name):
        target = relation.get("Target", "")
        full = target[1:] if target.startswith("/") else posixpath.join(folder, target)
        full = posixpath.normpath(full)
        if relation.get("TargetMode") != "External" and full in archive.namelist():
            found.append((relation.get("Type", "").rpartition("/")[2], full))
    return found


def _unwrap(root: Any) -> None:
    """Replace elements that the converter skips with what they contain."""
    for reading in list(root.iter(f"{_W}rt")):
        reading.getparent().remove(reading)
    for element in list(root.iter(*_WRAPPERS)):
        parent = element.getparent()
        position = parent.index(element)
        parent[position : position + 1] = list(element)


def _expose_boxes(root: Any) -> None:
    """Move text boxes of drawings into the older element, the only one that is read."""
    from lxml import etree

    for drawing in list(root.iter(f"{_W}drawing")):
        place = drawing
        choice = next(drawing.iterancestors(f"{_MC}AlternateContent"), None)
        if choice is not None:
            fallback = choice.find(f"{_MC}Fallback")
            if fallback is not None and next(fallback.iter(_BOX), None) is not None:
                continue
            place = choice
        for box in list(drawing.iter(_BOX)):
            if next(box.iterancestors(_BOX), None) is not None:
                continue
            picture = etree.Element(f"{_W}pict")
            etree.SubElement(etree.SubElement(picture, f"{_V}shape"), f"{_V}textbox").append(
                box
            )
            place.addnext(picture)


def _cut(root: Any) -> None:
    """Remove the text beyond the limit of characters."""
    state = loading.get()
    if state is None:
        return
    remaining = state.characters
    for element in root.iter(f"{_W}t"):
        text = element.text or ""
        if len(text) > remaining:
            state.cut += len(text) - remaining
            element.text = text[:remaining]
        remaining -= min(len(text), remaining)
    if state.cut:
        for paragraph in list(root.iter(f"{_W}p")):
            if not any(element.text for element in paragraph.iter(f"{_W}t")):
                paragraph.clear()


def _text_of(root: Any) -> str:
    """Return the text of a part, a line for each paragraph."""
    paragraphs: dict[Any, list[str]] = {}
    for element in root.iter(*_TEXT):
        alternative = next(element.iterancestors(f"{_MC}Fallback"), None)
        if alternative is not None and any(
            True for _ in alternative.getparent().iterfind(f"{_MC}Choice//{element.tag}")
        ):
            continue
        paragraph = next(element.iterancestors(*_PARAGRAPH), root)
        paragraphs.setdefault(paragraph, []).append(element.text or "")
    return "\n".join(filter(None, ("".join(texts).strip() for texts in paragraphs.values())))
