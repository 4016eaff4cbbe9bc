"""The interface of a loader, and helpers that loaders share.

To add a format: write a module in this folder with a function `load` and a constant `LOADER`,
and add `LOADER` to the table in `files.py`. `markdown.py` is a short example of a file that is
one document, `jsonl.py` of a file of many.
"""

from __future__ import annotations

import codecs
import dataclasses
import gzip
import io
import shlex
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.errors import ReadError
from secondpass.types import Document, is_missing, to_id

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
    - `prepare`: imports what the loader needs, so that it does not count as a file's time and
      memory; None if that is nothing large.
    - `safe_bytes`: up to which size a file is read in this process; 0 for formats whose time or
      memory is not proportional to the size.
    """

    suffixes: tuple[str, ...]
    load: Load
    rows: bool = False
    version: int = 1
    prepare: Callable[[], None] | None = None
    safe_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of a file, and what has been left out of it so far.

    `cut`: characters of documents that had too many; `skipped`: rows since the last batch
    that cannot be read; `last`: whether the file ends here.
    """

    documents: list[Document]
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cut: int = 0
    skipped: Sequence[ReadError] = ()
    last: bool = True


@dataclass(slots=True)
class Loading:
    """What a loader may read of the current file, and what it has left out so far.

    `characters`: a document's limit; `cut`: characters beyond it; `left_out`: counts by kind;
    `strict`: whether a row that cannot be read ends the file; `skipped`: those since the last
    batch; `found`: whether a row could be read.
    """

    characters: int
    strict: bool = True
    cut: int = 0
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)
    skipped: list[ReadError] = dataclasses.field(default_factory=list)
    found: bool = False


loading: ContextVar[Loading | None] = ContextVar("loading", default=None)


def leave_out(kind: str, count: int = 1) -> None:
    """Count what a loader leaves out on purpose; `kind` is a plural, such as "comments"."""
    current = loading.get()
    if current is not None and count:
        current.left_out[kind] += count


UNREAD_HEAD = "front matter"
"""What the kind begins with of a head that `leave_out` is told of, and that stays text."""


def skip_row(error: ReadError) -> None:
    """Record a row that cannot be read; raise the error if such a row ends the file.

    A file of which none of the first 100 rows can be read is not of its format: the first
    error is raised.
    """
    current = loading.get()
    if current is None or current.strict:
        raise error
    current.skipped.append(error)
    if not current.found and len(current.skipped) >= _MAX_LEADING_ERRORS:
        raise current.skipped[0]


ID_FIELDS = ("_id", "id", "doc_id", "docid")
TEXT_FIELDS = ("text", "body", "content", "contents", "passage")


_MARKS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 8192
_MAX_LEADING_ERRORS = 100


def read_text(path: Path) -> str:
    """Return the text of a file, as `decode_text` does; raises ReadError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    return decode_text(data, path)


def decode_text(data: bytes, path: Path) -> str:
    """Decode UTF-8, or UTF-16 and UTF-32 with a byte order mark; raises ReadError."""
    encoding = _detect_encoding(data[:_HEAD], path, allow_zeros=False)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        earlier = not data[: error.start].removeprefix(codecs.BOM_UTF8).isascii()
        raise encoding_error(path, line, error, multibyte=earlier) from error


def lines(
    path: Path, on_damaged: Callable[[ReadError], object] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line) of a file, gzipped or not, decoded as by `decode_text`.

    `on_damaged` gets the error of each line with bytes that are not UTF-8, where the text
    before them is; the line is left out. Raises ReadError; without `on_damaged`, also for
    those.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            encoding = _detect_encoding(stream.peek(_HEAD)[:_HEAD], path, allow_zeros=True)
            decoded = _utf8_lines(stream, path, on_damaged) if encoding == "utf-8-sig" else None
            if decoded is None:
                # Split at "\n" alone, as UTF-8 is.
                decoded = enumerate(io.TextIOWrapper(stream, encoding, newline="\n"), 1)
            for number, line in decoded:
                yield number, line
    except UnicodeDecodeError as error:
        raise encoding_error(path, number + 1, error) from error
    except (OSError, EOFError, zlib.error) as error:
        # Also for a gzip file that is truncated or damaged.
        raise read_error(path, error, line=number + 1) from error


def _utf8_lines(
    stream: Iterable[bytes], path: Path, on_damaged: Callable[[ReadError], object] | None
) -> Iterator[tuple[int, str]]:
    multibyte = False
    for number, raw in enumerate(stream, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            earlier = multibyte or not raw[: error.start].isascii()
            damaged = encoding_error(path, number, error, multibyte=earlier)
            if on_damaged is None or not earlier:
                raise damaged from error
            on_damaged(damaged)
            continue
        multibyte = multibyte or not line.isascii()
        yield number, line


def _detect_encoding(head: bytes, path: Path, *, allow_zeros: bool) -> str:
    """Return the encoding by the byte order mark; raise ReadError for what is not text."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    unmarked = detect_utf16(head)
    if unmarked is not None:
        raise ReadError(
            "the file is not UTF-8",
            where=str(path),
            why="it looks like UTF-16 without a byte order mark",
            fix=_convert(path, unmarked),
        )
    if not allow_zeros and 0 in head:
        raise ReadError("not a text file", where=str(path), why="it contains zero bytes")
    return "utf-8-sig"


def detect_utf16(head: bytes) -> str | None:
    """Return the encoding of text that looks like UTF-16 without a byte order mark, or None."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 4 and min(even, odd) == 0:
        return "utf-16be" if even else "utf-16le"
    return None


def read_error(path: Path, error: Exception, *, line: int | None = None) -> ReadError:
    """Build the error for a file that the system or a library cannot read."""
    where = str(path) if not line or line == 1 else f"{path}, line {line}"
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # The last line of markitdown's messages has the cause.
    cause = str(why).strip().splitlines()[-1].lstrip(" -")
    return ReadError("the file cannot be read", where=where, why=cause)


def encoding_error(
    path: Path, line: int, error: UnicodeDecodeError, *, multibyte: bool = False
) -> ReadError:
    """Build the error for bytes that are not valid in the encoding of a file.

    `multibyte`: whether valid UTF-8 beyond ASCII precedes them.
    """
    byte = error.object[error.start]
    where = f"{path}, line {line}"
    why = f"byte 0x{byte:02x} is not valid there"
    if not error.encoding.startswith("utf-8"):
        return ReadError(
            f"the file is not valid {error.encoding.upper()}, which its first bytes announce",
            where=where,
            why=error.reason,
            fix="Save the file again as UTF-8; it may be truncated.",
        )
    if multibyte:
        fix = f"The text before it is UTF-8: correct line {line}, or save the file again."
        return ReadError("the file is not UTF-8 throughout", where=where, why=why, fix=fix)
    beyond_ascii = sum(byte >= 0x80 for byte in error.object)
    letters = sum(chr(byte).isalpha() for byte in error.object if byte < 0x80)
    try:
        error.object.decode("cp1252")
        western = beyond_ascii <= letters
    except UnicodeDecodeError:
        western = False
    if not western:
        fix = (
            "Save it again as UTF-8 in the program that wrote it. "
            + _convert(path, "ENCODING")
            + ", with the encoding that it was written in, such as windows-1251, gb18030, "
            "shift_jis, euc-kr or utf-16le."
        )
    else:
        fix = f"In a spreadsheet, save it as CSV UTF-8. {_convert(path, 'windows-1252')}"
    return ReadError("the file is not UTF-8", where=where, why=why, fix=fix)


def _convert(path: Path, encoding: str) -> str:
    name = shlex.quote(path.name)
    copy = shlex.quote(f"{path.name}.utf8")
    if path.suffix == ".gz":
        return (
            f"Convert it: gzip -dc {name} | iconv -f {encoding} -t utf-8 | gzip > {copy} "
            f"&& mv {copy} {name}"
        )
    return f"Convert it: iconv -f {encoding} -t utf-8 {name} > {copy} && mv {copy} {name}"


def to_document(
    record: Mapping[str, Any],
    where: str,
    name: str,
    fields: Sequence[str] | None,
) -> Document:
    """Convert a record, such as a JSON object, to a document.

    The text is that of `fields` (joined by blank lines), or of the first of TEXT_FIELDS that
    is present. The id is the first of ID_FIELDS (see `to_id`: 7.0 is "7"), else `name`. All
    other fields are metadata, and so are the entries of a mapping called "metadata". Null and
    NaN are left out.

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
    texts = ["" if is_missing(record[n]) else record[n] for n in present]
    for field, text in zip(present, texts, strict=True):
        if not isinstance(text, str):
            raise ReadError(
                f"field {field!r} is not text",
                where=where,
                why=f"it is a {type(text).__name__}",
            )
    ids = {n: to_id(record.get(n)) for n in ID_FIELDS}
    id_field = next((n for n, value in ids.items() if value not in (None, "")), None)
    if id_field is not None and not isinstance(ids[id_field], str):
        raise ReadError(
            f"field {id_field!r} cannot be an id",
            where=where,
            why=f"it is {record[id_field]!r:.60}, and must be text, a whole number or a UUID",
            fix="Rename the field, or write its value as text.",
        )
    rest = {k: v for k, v in record.items() if k not in present and k != id_field}
    title = rest.get("title")
    if isinstance(title, str) or is_missing(title):
        rest.pop("title", None)
    else:
        title = None
    inner = rest.pop("metadata") if isinstance(rest.get("metadata"), Mapping) else {}
    return Document(
        text="\n\n".join(texts),
        id=name if id_field is None else str(ids[id_field]),
        title=title if isinstance(title, str) and title else None,
        metadata={k: v for k, v in {**inner, **rest}.items() if not is_missing(v)},
    )
