"""Lines of text files as cells, with errors that name the line.

Text files written whole or not at all, gzipped if their name says so.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from secondpass.errors import InputError
from secondpass.retrieve.loaders.base import lines


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank: its cells, and where it stands."""

    number: int
    cells: list[str]
    where: str
    text: str

    def wrong(self, why: str, fix: str) -> InputError:
        """Return the error for this line."""
        shown = self.text if len(self.text) <= 80 else f"{self.text[:79]}…"
        return InputError(
            "a line cannot be read", where=self.where, why=f"{why}: {shown!r}", fix=fix
        )


def split_lines(path: Path, separator: str | None) -> Iterator[Line]:
    """Give the lines of a file, gzipped or not, cut at `separator`; None is white space.

    Raises ReadError for a file that is missing, damaged or not UTF-8.
    """
    for number, raw in lines(path):
        text = raw.rstrip("\r\n")
        if text.strip():
            yield Line(number, text.split(separator), f"{path}, line {number}", text)


def is_json(path: Path) -> bool:
    """Return whether a file's name says JSON lines, gzipped or not."""
    return path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def some(names: list[str]) -> str:
    """Return up to three names, and whether there are more."""
    shown = ", ".join(repr(name) for name in names[:3])
    return shown + (", …" if len(names) > 3 else "")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each with a line break; a file that is there is replaced at the end.

    The same lines give the same bytes, gzipped or not. Raises InputError for a folder that
    is not there.
    """
    if not path.parent.is_dir():
        raise InputError("there is no such folder", where=str(path.parent))
    data = "".join(f"{line}\n" for line in lines).encode()
    half = path.with_name(f"{path.name}.part")
    half.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    half.replace(path)


def check_cells(kind: str, *names: str) -> None:
    """Raise InputError for an id that a file with white space between columns cannot hold."""
    for name in names:
        if not name or name.split() != [name]:
            raise InputError(
                f"a TREC {kind} cannot hold the id {name!r}",
                why="its columns are parted by white space",
                fix="Write to a name that ends in .jsonl instead.",
            )
