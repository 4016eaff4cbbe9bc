"""A folder that appears whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondpass.errors import InputError


def check_replaceable(out: Path, mark: str, *, force: bool) -> None:
    """Raise InputError where `out` must not be written.

    That is a file, or a folder that is not empty, unless `force` is given and it holds the
    file `mark`: what was not written by the same command is never deleted.
    """
    if out.is_file():
        raise InputError("the folder cannot be written", where=str(out), why="it is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        fix = "Choose to replace it (force), or give another folder."
        raise InputError("the folder is not empty", where=str(out), fix=fix)
    if not (out / mark).is_file():
        raise InputError(
            "the folder cannot be replaced",
            where=str(out),
            why=f"it holds other things, and no {mark}",
            fix="Give another folder.",
        )


@contextmanager
def replacing(out: Path, mark: str, *, force: bool) -> Iterator[Path]:
    """Give an empty folder that takes the place of `out` when the block ends well.

    Raises InputError as `check_replaceable` does, and for a place that cannot be written.
    """
    out = out.absolute()
    check_replaceable(out, mark, force=force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        holder = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise InputError(
            "the folder cannot be written", where=str(out), why=error.strerror
        ) from error
    with holder as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        yield made
        if out.exists():
            out.replace(Path(temporary) / "old")
        made.replace(out)
