"""Text files of columns or JSON lines, gzipped or not, written atomically."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError
from secondpass.retrieve.loaders.base import lines as read_lines
from secondpass.storage import replace_file

_MAX_QUOTED_CHARACTERS = 80
_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank: its columns (`cells`), and its position (`where`)."""

    number: int
    cells: list[str]
    where: str
    text: str

    def error(self, why: str, fix: str) -> InputError:
        """Return an error about this line."""
        text = self.text
        if len(text) > _MAX_QUOTED_CHARACTERS:
            text = f"{text[: _MAX_QUOTED_CHARACTERS - 1]}…"
        return InputError(
            "a line cannot be read", where=self.where, why=f"{why}: {text!r}", fix=fix
        )


def split_lines(path: Path, separator: str | None) -> Iterator[Line]:
    """Yield the lines of a file, split at `separator`; None is white space.

    Raises ReadError for a file that is missing, damaged or not UTF-8.
    """
    for number, raw in read_lines(path):
        text = raw.rstrip("\r\n")
        if text.strip():
            yield Line(number, text.split(separator), f"{path}, line {number}", text)


def is_json(path: Path) -> bool:
    """Return whether a file has JSON lines by its name, gzipped or not."""
    return path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def abbreviate(names: list[str]) -> str:
    """Return the first three names in quotes, and "…" if there are more."""
    first = ", ".join(repr(name) for name in names[:_MAX_NAMES])
    return first + (", …" if len(names) > _MAX_NAMES else "")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a whole file of lines in one atomic step; an old file is replaced.

    The same lines give the same bytes, gzipped or not. Raises InputError for a missing
    folder, OSError where the file cannot be written.
    """
    if not path.parent.is_dir():
        raise InputError("there is no such folder", where=str(path.parent))
    data = "".join(f"{line}\n" for line in lines).encode()
    replace_file(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def check_trec_ids(kind: str, *ids: str) -> None:
    """Raise InputError for an id with white space, which separates columns in TREC files."""
    for name in ids:
        if not name or name.split() != [name]:
            raise InputError(
                f"a TREC {kind} cannot hold the id {name!r}",
                why="white space separates its columns",
                fix="Write to a name that ends in .jsonl instead.",
            )
