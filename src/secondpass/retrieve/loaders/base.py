"""The interface of a loader, and helpers that loaders share.

To add a format: write a module in this folder with a function `load` and a constant `LOADER`,
and add `LOADER` to the table in `files.py`. `markdown.py` is a short example of a file that is
one document, `jsonl.py` of a file of many.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from secondpass.errors import ReadError
from secondpass.types import Document

Load = Callable[[Path, str, Sequence[str] | None], Iterator[Document]]
"""Yields the documents of a file, from its path, its name, and the fields that contain the text
(None: the loader's choice). A file that is one document has the name as its id; a row without
an id has the name and its number. Raises ReadError for a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class Loader:
    """A file format.

    - `suffixes`: in lower case, such as `.md` or `.csv.gz`.
    - `rows`: whether a file has many documents, a line or a row each.
    - `version`: raised when the loader reads more or otherwise, so that files that were indexed
      before are read again at the next ingest.
    """

    suffixes: tuple[str, ...]
    load: Load
    rows: bool = False
    version: int = 1


ID_FIELDS = ("_id", "id", "doc_id", "docid")
TEXT_FIELDS = ("text", "body", "content", "contents", "passage")


def read_text(path: Path) -> str:
    """Return a file's text, from UTF-8 or UTF-16 with a byte order mark; raises ReadError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in data[:8192]:
        raise ReadError("not a text file", where=str(path), why="it contains zero bytes")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise encoding_error(path, line, error) from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line) of a UTF-8 file, gzipped or not; raises ReadError."""
    number = 0
    opener: Callable[[Path], Any] = gzip.open if path.suffix == ".gz" else _open
    try:
        with opener(path) as stream:
            for number, raw in enumerate(stream, 1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise encoding_error(path, number, error) from error
    except (OSError, EOFError, zlib.error) as error:
        # Also for a gzip file that is truncated or damaged.
        raise read_error(path, error, line=number + 1) from error


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def read_error(path: Path, error: Exception, *, line: int | None = None) -> ReadError:
    """Build the error for a file that the system or a library cannot read."""
    where = str(path) if not line or line == 1 else f"{path}, line {line}"
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # The last line of markitdown's messages has the cause.
    cause = str(why).strip().splitlines()[-1].lstrip(" -")
    return ReadError("the file cannot be read", where=where, why=cause)


def encoding_error(path: Path, line: int, error: UnicodeDecodeError) -> ReadError:
    """Build the error for text in another encoding."""
    byte = error.object[error.start]
    return ReadError(
        "the file is not UTF-8",
        where=f"{path}, line {line}",
        why=f"byte 0x{byte:02x} is not valid there",
        fix=f"Convert it: iconv -f latin1 -t utf-8 {path.name}",
    )


def to_document(
    record: Mapping[str, Any],
    where: str,
    name: str,
    fields: Sequence[str] | None,
) -> Document:
    """Convert a record, such as a JSON object, to a document.

    The text is that of `fields` (joined by blank lines), or of the first of TEXT_FIELDS that
    is present. The id is the first of ID_FIELDS, else `name`. All other fields are metadata,
    and so are the entries of a mapping called "metadata".

    Raises ReadError if no text field is present, or one is not text.
    """
    candidates = fields if fields is not None else [n for n in TEXT_FIELDS if n in record][:1]
    present = [n for n in candidates if n in record]
    if not present:
        expected = ", ".join(fields if fields is not None else TEXT_FIELDS)
        raise ReadError(
            "no text field was found",
            where=where,
            why=f"it has {', '.join(map(str, record)) or 'nothing'}, and none of {expected}",
            fix="Name the fields that contain the text: --fields title,abstract",
        )
    texts = ["" if record[n] is None else record[n] for n in present]
    for field, text in zip(present, texts, strict=True):
        if not isinstance(text, str):
            raise ReadError(
                f"field {field!r} is not text",
                where=where,
                why=f"it is a {type(text).__name__}",
            )
    id_field = next((n for n in ID_FIELDS if record.get(n) not in (None, "")), None)
    rest = {k: v for k, v in record.items() if k not in present and k != id_field}
    title = rest.pop("title") if isinstance(rest.get("title"), str) else None
    inner = rest.pop("metadata") if isinstance(rest.get("metadata"), Mapping) else {}
    return Document(
        text="\n\n".join(texts),
        id=name if id_field is None else str(record[id_field]),
        title=title if title else None,
        metadata={k: v for k, v in {**inner, **rest}.items() if v is not None},
    )
