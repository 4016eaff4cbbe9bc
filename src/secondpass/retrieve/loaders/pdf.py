"""PDF files, through markitdown, with the values of forms: one document a file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from secondpass.retrieve.loaders.base import Loader, leave_out, read_error
from secondpass.retrieve.loaders.office import check_converter, convert, make_document, prepare
from secondpass.types import Document

_PASSWORD, _PUSH_BUTTON = 1 << 13, 1 << 16
_FIELD_KEYS = ("FT", "Ff", "V", "Opt")
_MAX_PARENTS = 32
_SHOW = ("Tj", "TJ", "'", '"')
_XFA_DATA = "{http://www.xfa.org/schema/xfa-data/1.0/}data"

_Field = tuple[Any, str, dict[str, Any]]
"""A reference to a field, the names of the fields above it, and what it inherits from them."""


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document, in Markdown; titled by its properties or first heading.

    The values of form fields follow, each after the label of its field (also of fields that
    only a page names, or whose value is only drawn; of a choice, what it shows), then what was
    typed onto the pages. Raises MissingExtraError without markitdown, ReadError for a file that
    cannot be read.
    """
    check_converter()
    try:
        data = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise read_error(path, error) from error
    text, title = convert(path, data)
    data.seek(0)
    try:
        typed = list(_typed_text(data))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the parser raises anything, and the pages are read
        leave_out("damaged forms")
        typed = []
    yield make_document(text, ["\n".join(typed)] if typed else [], name, title)


LOADER = Loader((".pdf",), load, version=3, prepare=prepare)


def _typed_text(data: io.BytesIO) -> Iterator[str]:
    from pdfminer.pdfdocument import PDFDocument
    from pdfminer.pdfpage import PDFPage
    from pdfminer.pdfparser import PDFParser

    document = PDFDocument(PDFParser(data))
    form = _resolve(document.catalog.get("AcroForm"))
    form = form if isinstance(form, dict) else {}
    seen: set[int] = set()
    stack = [(field, "", dict[str, Any]()) for field in reversed(_list(form.get("Fields")))]
    values = list(_field_values(stack, seen))
    yield from values or _xfa_values(form.get("XFA"))
    comments = 0
    for page in PDFPage.create_pages(document):
        for reference in _list(page.annots):
            note = _resolve(reference)
            if isinstance(note, dict) and _text(note.get("Subtype")) == "Widget":
                yield from _field_values([_locate_field(reference)], seen)
                continue
            text = _text(note.get("Contents")) if isinstance(note, dict) else ""
            if not text:
                continue
            if _text(note.get("Subtype")) == "FreeText":
                yield text
            else:
                comments += 1
    leave_out("comments", comments)


def _locate_field(widget: Any) -> _Field:
    """Return the field of a widget, with what it has from the fields above it."""
    chain: list[tuple[Any, dict[str, Any]]] = []
    reference = widget
    while len(chain) < _MAX_PARENTS and isinstance(field := _resolve(reference), dict):
        if any(field is below for _, below in chain):
            break
        chain.append((reference, field))
        reference = field.get("Parent")
    # Above the widgets of a field is the field itself, which has the name.
    position = next((n for n, (_, field) in enumerate(chain) if "T" in field), 0)
    above = [field for _, field in reversed(chain[position + 1 :])]
    inherited = {key: field[key] for field in above for key in _FIELD_KEYS if key in field}
    name = ".".join(filter(None, (_text(field.get("T")) for field in above)))
    return chain[position][0], name, inherited


def _field_values(stack: list[_Field], seen: set[int]) -> Iterator[str]:
    """Yield "label: value" of each field that has a value and is not in `seen`, and add it."""
    passwords = unreadable = 0
    while stack:
        reference, parent, inherited = stack.pop()
        identity = getattr(reference, "objid", None)
        field = _resolve(reference)
        if not isinstance(field, dict) or identity in seen:
            continue
        if identity is not None:
            seen.add(identity)
        own = {**inherited, **{key: field[key] for key in _FIELD_KEYS if key in field}}
        name = ".".join(filter(None, (parent, _text(field.get("T")))))
        kids = _list(field.get("Kids"))
        named = [kid for kid in kids if isinstance(k := _resolve(kid), dict) and "T" in k]
        if named:
            stack += [(kid, name, own) for kid in reversed(named)]
            continue
        kind, flags = _text(own.get("FT")), _resolve(own.get("Ff"))
        flags = flags if isinstance(flags, int) else 0
        value = _shown(own.get("V"), own.get("Opt")) if kind == "Ch" else _text(own.get("V"))
        if kind == "Btn" and (flags & _PUSH_BUTTON or value == "Off"):
            continue
        if kind == "Tx" and flags & _PASSWORD:
            passwords += bool(value)
            continue
        # A list draws all that can be chosen, and a button its label.
        if kind in ("Tx", "") and "V" not in own:
            drawn = next(filter(None, map(_drawn_text, (reference, *kids))), "")
            value = drawn if drawn.isprintable() else ""
            unreadable += not drawn.isprintable()
        if kind != "Sig" and value:
            yield ": ".join(filter(None, (_text(field.get("TU")) or name, value)))
    leave_out("passwords", passwords)
    leave_out("pictures of form values", unreadable)


def _shown(value: Any, options: Any) -> str:
    """Return what a choice shows, which is not always the value that it exports."""
    pairs = [pair for option in _list(options) if len(pair := _list(option)) == 2]
    labels = {_text(export): _text(label) for export, label in pairs}
    value = _resolve(value)
    chosen = map(_text, value if isinstance(value, list) else [value])
    return ", ".join(filter(None, (labels.get(item) or item for item in chosen)))


def _drawn_text(widget: Any) -> str:
    """Return the text in the normal appearance of a widget, "" without any."""
    from pdfminer.pdfinterp import PDFContentParser
    from pdfminer.pdftypes import PDFStream
    from pdfminer.psparser import PSEOF, PSKeyword

    widget = _resolve(widget)
    pictures = _resolve(widget.get("AP")) if isinstance(widget, dict) else None
    picture = _resolve(pictures.get("N")) if isinstance(pictures, dict) else None
    if not isinstance(picture, PDFStream):
        return ""
    parser = PDFContentParser([picture])
    parts: list[str] = []
    operands: list[Any] = []
    with suppress(PSEOF):
        while True:
            _, item = parser.nextobject()
            if not isinstance(item, PSKeyword):
                operands.append(item)
                continue
            if item.name.decode("latin-1") in _SHOW:
                shown = operands[-1:]
                shown = shown[0] if shown and isinstance(shown[0], list) else shown
                parts.append("".join(_decode(s) for s in shown if isinstance(s, bytes)))
            operands = []
    return " ".join(" ".join(parts).split())


def _decode(string: bytes) -> str:
    from pdfminer.utils import decode_text

    return decode_text(string)


def _xfa_values(packets: Any) -> Iterator[str]:
    """Yield "name: value" of the data of an XML form, which has no other fields."""
    names = _list(packets)
    for name, packet in zip(names[::2], names[1::2], strict=False):
        if _text(name) != "datasets":
            continue
        root = ElementTree.fromstring(_resolve(packet).get_data())
        data = root.find(_XFA_DATA)
        for element in () if data is None else data.iter():
            value = (element.text or "").strip()
            if value:
                yield f"{element.tag.rpartition('}')[2]}: {value}"


def _text(value: Any) -> str:
    """Return a string, a name, a stream or a list of these as text."""
    from pdfminer.pdftypes import PDFStream
    from pdfminer.psparser import PSLiteral
    from pdfminer.utils import decode_text

    value = _resolve(value)
    if isinstance(value, PDFStream):
        value = value.get_data()
    if isinstance(value, PSLiteral):
        value = value.name
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, bytes):
        value = decode_text(value)
    return value.strip() if isinstance(value, str) else ""


def _resolve(value: Any) -> Any:
    from pdfminer.pdftypes import resolve1

    return resolve1(value)


def _list(value: Any) -> list[Any]:
    value = _resolve(value)
    return value if isinstance(value, list) else []
