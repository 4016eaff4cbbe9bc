"""What a reader gives, and the helpers that readers share."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from secondpass.errors import ReadError
from secondpass.types import Document

Reader = Callable[[Path, str, Sequence[str] | None], Iterator[Document]]
"""Gives the documents of a file one by one, from its path, what to call it, and which
fields hold the text (None: the reader's own choice). A file that is one document gets the
name as its id."""

ID_FIELDS = ("_id", "id", "doc_id", "docid")
TEXT_FIELDS = ("text", "body", "content", "contents", "passage")


def read_text(path: Path) -> str:
    """Return a file as text; raises ReadError for what is not UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in data[:8192]:
        raise ReadError("not a text file", where=str(path), why="it holds zero bytes")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(path, line, error) from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give (number from 1, line) of a text file, gzipped or not, without loading it."""
    number = 0
    opener: Callable[[Path], Any] = gzip.open if path.suffix == ".gz" else _open
    try:
        with opener(path) as stream:
            for number, raw in enumerate(stream, 1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise not_utf8(path, number, error) from error
    except (OSError, EOFError, zlib.error) as error:
        # A gzip that ends early or is damaged comes here too.
        raise unreadable(path, error, line=number + 1) from error


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def unreadable(path: Path, error: Exception, *, line: int | None = None) -> ReadError:
    """Return the error for a file that the system or a library cannot read."""
    where = str(path) if not line or line == 1 else f"{path}, line {line}"
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # markitdown says last what went wrong.
    last = str(why).strip().splitlines()[-1].lstrip(" -")
    return ReadError("the file cannot be read", where=where, why=last)


def not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> ReadError:
    """Return the error for text in another encoding."""
    byte = error.object[error.start]
    return ReadError(
        "the file is not UTF-8",
        where=f"{path}, line {line}",
        why=f"byte 0x{byte:02x} cannot stand there",
        fix=f"Convert it: iconv -f latin1 -t utf-8 {path.name}",
    )


def from_record(
    record: Mapping[str, Any],
    where: str,
    name: str,
    fields: Sequence[str] | None,
) -> Document:
    """Return the document of a record with free fields.

    The text is that of `fields` (joined by blank lines), or of the first of TEXT_FIELDS
    that there is. The id is that of the first of ID_FIELDS, else `name`. What is left is
    metadata, and so is what a dictionary called "metadata" holds.

    Raises ReadError where no text field is found, or one does not hold text.
    """
    asked = fields if fields is not None else [n for n in TEXT_FIELDS if n in record][:1]
    present = [n for n in asked if n in record]
    if not present:
        wanted = ", ".join(fields if fields is not None else TEXT_FIELDS)
        raise ReadError(
            "no text field was found",
            where=where,
            why=f"it has {', '.join(map(str, record)) or 'nothing'}, and none of {wanted}",
            fix="Say which fields hold the text: --fields title,abstract",
        )
    texts = ["" if record[n] is None else record[n] for n in present]
    for field, text in zip(present, texts, strict=True):
        if not isinstance(text, str):
            raise ReadError(
                f"field {field!r} does not hold text",
                where=where,
                why=f"it holds a {type(text).__name__}",
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
