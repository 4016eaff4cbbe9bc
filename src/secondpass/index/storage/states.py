"""Token states of passages that are published with the versions of an index."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from secondpass.rerank.precomputed.state_files import (
    count_states,
    export_states,
    import_states,
    last_rows,
)
from secondpass.storage import replace_file
from secondpass.types import Document

FOLDER = "states"
"""Below the folder of a version, with a folder for each model."""
_FILES = "states-*.sqlite"
_REMOVAL = "removed-states.json"
# More files than this become one when the index is optimized, and files with more states than
# so many for each that is needed.
_MAX_FILES = 8
_SPARE = 1.1


def mark_removal(view: Path) -> None:
    """Say in a version that states were removed, so that all machines remove theirs."""
    replace_file(view / _REMOVAL, json.dumps({"removal": secrets.token_hex(8)}))


def removal_of(view: Path) -> str:
    """Return which removal of states is the last one in a version; "" before the first."""
    return _read(view / _REMOVAL) or ""


def followed_removal(folder: Path) -> str | None:
    """Return which removal the states of this machine have followed; None for none yet."""
    return _read(folder / _REMOVAL)


def follow_removal(folder: Path, removal: str) -> None:
    """Note that the states of this machine have followed a removal."""
    replace_file(folder / _REMOVAL, removal)


class StoppedError(Exception):
    """Ends work in a thread whose owner is closed."""


def until_stopped(
    batches: Iterator[list[Document]], stop: threading.Event
) -> Iterator[list[Document]]:
    """Yield batches of passages; raise StoppedError once `stop` is set."""
    for batch in batches:
        if stop.is_set():
            raise StoppedError
        yield batch


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None


class PublishedStates:
    """What this machine has stored of states, and what versions have.

    The states of a model are in one file in `folder`, as those of an index in a folder are. A
    write puts what was stored since the last one into a new file of its version; a reader takes
    the files of a version in, each once. They are copies: without them a search encodes more.
    Not thread-safe; callers hold the lock of the store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # By file, the last rows that are in a version.
        self._published = {file.name: last_rows(file) for file in folder.glob(_FILES)}
        self._exported: dict[str, dict[str, int]] = {}

    def export(self, view: Path) -> None:
        """Write what was stored since the last published write into a new file of the view."""
        self._exported = {}
        for file in self.folder.glob(_FILES):
            last = last_rows(file)
            if last == self._published.get(file.name, dict.fromkeys(last, 0)):
                continue
            target = view / FOLDER / file.stem / f"{secrets.token_hex(8)}.sqlite"
            problem = export_states(file, target, self._published.get(file.name, {}))
            if problem is None:
                self._exported[file.name] = last
            else:
                warnings.warn(f"{problem}; its states were not published", stacklevel=2)

    def exported(self) -> None:
        """Note that what the last `export` wrote is published."""
        self._published |= self._exported
        self._exported = {}

    def take_in(self, view: Path) -> None:
        """Take the files of a version into those of this machine."""
        for source in sorted((view / FOLDER).glob("*/*.sqlite")):
            file = self.folder / f"{source.parent.name}.sqlite"
            nothing_new = last_rows(file) == self._published.get(file.name, last_rows(Path()))
            problem = import_states(source, file)
            if problem is not None:
                warnings.warn(f"{problem}; searches encode what is missing", stacklevel=2)
            if nothing_new:
                # What came from a version need not go into the next one.
                self._published[file.name] = last_rows(file)

    def merge(self, view: Path) -> None:
        """Put all states of a model into one file of the view, where that is worth it.

        That is where there are many files, or many of their states were removed here. Those
        of models that this machine has no states of are removed: `optimize` has deleted them.
        """
        for folder in (view / FOLDER).glob("*"):
            own, files = self.folder / f"{folder.name}.sqlite", list(folder.glob("*.sqlite"))
            published = sum(map(count_states, files))
            few = len(files) <= _MAX_FILES and published <= _SPARE * count_states(own)
            if own.is_file() and few:
                continue
            shutil.rmtree(folder)
            self._published.pop(f"{folder.name}.sqlite", None)
