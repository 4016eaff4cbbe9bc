"""Text files written whole or not at all, gzipped if their name says so."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from secondpass.errors import InputError


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
