"""Atomic replacement of a folder: it appears whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondpass.errors import InputError
from secondpass.storage import sync_folder


def check_replaceable(out: Path, marker: str | None, *, force: bool) -> None:
    """Raise InputError if `out` must not be replaced.

    That is a file, or a folder that is not empty, unless `force` is true and it has the file
    `marker`, so that a folder that another command wrote is never deleted. With `marker` None
    any folder may be replaced.
    """
    if out.is_file():
        raise InputError("The folder cannot be written", where=str(out), why="it is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        fix = "Replace it (--force), or give another folder."
        raise InputError("The folder is not empty", where=str(out), fix=fix)
    if marker is not None and not (out / marker).is_file():
        raise InputError(
            "The folder cannot be replaced",
            where=str(out),
            why=f"it holds other files, and no {marker}",
            fix="Give another folder.",
        )


@contextmanager
def replace_folder(out: Path, marker: str | None, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder that replaces `out` if the block ends without an error.

    Raises InputError as `check_replaceable` does, and if the parent cannot be written.
    """
    out = out.absolute()
    check_replaceable(out, marker, force=force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise InputError(
            "The folder cannot be written", where=str(out), why=error.strerror
        ) from error
    with temporary as name:
        new = Path(name) / "new"
        new.mkdir()
        yield new
        # The old folder is deleted with the temporary one, after the new one is in place.
        if out.exists():
            out.replace(Path(name) / "old")
        new.replace(out)
    sync_folder(out.parent)
