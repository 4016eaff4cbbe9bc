"""From an uploaded file to the documents that the index stores."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from secondpass.errors import MissingExtraError, ReadError, SecondpassError
from secondpass.retrieve.loaders import SourceFile, office, read_file, sandbox, text
from secondpass.retrieve.loaders.files import suffix_of
from secondpass.server.cloudflare.fields import ITEM, Value
from secondpass.server.cloudflare.file_kinds import is_packed
from secondpass.server.cloudflare.item import Item
from secondpass.server.scheduler.jobs import GoneError
from secondpass.server.scheduler.scheduled_models import while_wanted
from secondpass.types import Document

_MOST_ROWS = 20_000
_MOST_UNPACKED = 100_000_000
_ROWS = (".csv", ".tsv", ".jsonl")
_ZIPPED = (".docx", ".pptx")
_NO_TEXT_FIELD = "no text field was found"


def read_item(item: Item, path: Path, columns: Mapping[str, Value]) -> list[Document]:
    """Return the documents of a file, with the ids and the metadata that the index gets.

    A table without a column of text is read as plain text. Raises ReadError for a file that
    cannot be read, MissingExtraError where reading it needs a package, GoneError when the
    worker is told to leave off.
    """
    try:
        found = _read(path)
    except ReadError as error:
        if suffix_of(path) not in _ROWS or error.what != _NO_TEXT_FIELD:
            raise
        found = list(text.read(path, item.key))
    metadata = {ITEM: item.id, **columns}
    return [
        replace(document, id=item.document(number), metadata=metadata)
        for number, document in enumerate(d for d in found if d.text.strip())
    ]


def told(error: SecondpassError, item: Item, path: Path) -> str:
    """Return what to tell a client of an error: the file by its key, no path of this server."""
    if isinstance(error, MissingExtraError):
        return str(error)
    why = "" if error.why is None else f": {error.why}"
    fix = "" if error.fix is None else f". {error.fix}"
    text = f"{error.what}{why}{fix}"
    return text.replace(str(path), item.key).replace(path.name, item.key)


def _read(path: Path) -> list[Document]:
    suffix = suffix_of(path)
    if is_packed(suffix):
        raise ReadError(f"files that end in {suffix} are not read", fix="Unpack it first.")
    if suffix in _ZIPPED:
        _check_unpacked(path)
    left_off = threading.Event()

    def read() -> list[Document]:
        with sandbox.until(left_off):
            return list(_bounded(read_file(SourceFile(path, path.parent))))

    try:
        return while_wanted(read)
    except GoneError:
        left_off.set()
        office.leave_off()
        raise


def _bounded(documents: Iterator[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if number >= _MOST_ROWS:
            raise ReadError(
                f"the file has more than {_MOST_ROWS:,} rows", fix="Upload it in parts."
            )
        yield document


def _check_unpacked(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(one.file_size for one in packed.infolist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ReadError("the file cannot be read", why=str(error)) from error
    if size > _MOST_UNPACKED:
        raise ReadError(
            "the file cannot be read",
            why=f"it unpacks to more than {_MOST_UNPACKED:,} bytes",
        )
