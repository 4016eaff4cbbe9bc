"""Local copies of versions: files by their content, and folders of links to them."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from secondpass.errors import IndexStoreError
from secondpass.index.storage.objects import Objects
from secondpass.index.storage.versions import StoredFile
from secondpass.storage import exclusive, is_locked, store_error, user_cache

MAX_BYTES = 50 * 1024**3
"""The most bytes of local copies of an index, unless told otherwise."""
_STATES = "states-"
_FETCH_THREADS = 8
_CHUNK_BYTES = 4 * 1024 * 1024
_LOCK = ".lock"


def default_folder(url: str) -> Path:
    """Return the folder for local copies of the index at a URL, in the user's cache."""
    return user_cache() / "remote-indexes" / hashlib.sha256(url.encode()).hexdigest()[:24]


class LocalCopy:
    """The files of versions on this machine, shared by its processes.

    Contents are in `objects`, each once, by their SHA-256. `views` has a folder for each open
    index, with a folder of links for the version that it reads. A content to which no view
    links may be deleted at any time, and is when there are more than `max_bytes`.
    """

    def __init__(self, folder: Path, objects: Objects, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._objects = objects
        self._contents = folder / "objects"
        self._views = folder / "views"
        self._own: Path | None = None
        self._alive = ExitStack()

    def fetch(self, files: Mapping[str, StoredFile]) -> bool:
        """Fetch the contents that are not here; return False where one is not stored any more.

        Raises IndexStoreError for a version that is larger than `max_bytes`, a disk that is
        full, and a content that differs from its name.
        """
        size = sum(file.size for file in set(files.values()))
        if size > self.max_bytes:
            raise IndexStoreError(
                "the index is larger than its local copy may be",
                where=self._objects.url,
                why=f"it has {size:,} bytes, and the limit is {self.max_bytes:,}",
                fix="Raise local_bytes, on a disk with that much space.",
            )
        missing = [file for file in set(files.values()) if not self._content(file).is_file()]
        if not missing:
            return True
        with self._guarded(), ThreadPoolExecutor(_FETCH_THREADS) as threads:
            return all(list(threads.map(self._fetch_one, missing)))

    def make_view(self, files: Mapping[str, StoredFile]) -> Path | None:
        """Return a new folder with these files; None where a content was deleted meanwhile."""
        with self._guarded():
            view = self._own_folder() / secrets.token_hex(4)
            for path, file in files.items():
                target = view.joinpath(*path.split("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    _link(self._content(file), target)
                except FileNotFoundError:
                    shutil.rmtree(view, ignore_errors=True)
                    return None
            view.mkdir(parents=True, exist_ok=True)
            return view

    def drop_view(self, view: Path) -> None:
        """Delete the folder of a version, and contents beyond `max_bytes`."""
        shutil.rmtree(view, ignore_errors=True)
        self.trim()

    def scan(self, view: Path, known: Mapping[str, StoredFile]) -> dict[str, StoredFile]:
        """Return the files that a view has now, and take their contents into the copy.

        `known` are those that it was made with. Files of this process alone, such as locks
        and states, are left out.
        """
        files: dict[str, StoredFile] = {}
        with self._guarded():
            for parent, _, names in os.walk(view):
                for name in names:
                    file = Path(parent, name)
                    path = file.relative_to(view).as_posix()
                    if name.startswith((".", _STATES)):
                        continue
                    if path in known and _is_link(file, self._content(known[path])):
                        # Not written since: a writer replaces files, and changes none.
                        files[path] = known[path]
                        continue
                    files[path] = _digest(file)
                    content = self._content(files[path])
                    if not content.is_file():
                        content.parent.mkdir(parents=True, exist_ok=True)
                        _link(file, content)
        return files

    def path(self, file: StoredFile) -> Path:
        """Return where the content of a file is, if it is here."""
        return self._content(file)

    def count_bytes(self) -> int:
        """Return the bytes of all contents and states on this machine, of all versions."""
        total = 0
        for file in (*self._contents.glob("*/*"), *self.folder.glob(f"{_STATES}*")):
            with suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    def trim(self) -> None:
        """Delete views of processes that ended, and unused contents beyond `max_bytes`."""
        for own in self._views.glob("*"):
            if own != self._own and not is_locked(own / _LOCK):
                shutil.rmtree(own, ignore_errors=True)
        found = []
        for file in self._contents.glob("*/*"):
            with suppress(FileNotFoundError):
                found.append((file.stat(), file))
        excess = sum(stat.st_size for stat, _ in found) - self.max_bytes
        for stat, file in sorted(found, key=lambda one: one[0].st_mtime):
            if excess <= 0:
                return
            if stat.st_nlink == 1:
                file.unlink(missing_ok=True)
                excess -= stat.st_size

    def close(self) -> None:
        """Delete the views of this index."""
        own, self._own = self._own, None
        self._alive.close()
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)

    def _own_folder(self) -> Path:
        if self._own is None:
            own = self._views / secrets.token_hex(8)
            own.mkdir(parents=True)
            # Held while the process lives, so that others see which views are in use.
            self._alive.enter_context(exclusive(own / _LOCK))
            self._own = own
        return self._own

    def _content(self, file: StoredFile) -> Path:
        return self._contents / file.digest[:2] / file.digest

    def _fetch_one(self, file: StoredFile) -> bool:
        target = self._content(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            if not self._objects.download(file.name, part):
                return False
            if _digest(part) != file:
                raise IndexStoreError(
                    "a file of the index is damaged",
                    where=f"{self._objects.url}/{file.name}",
                    why="its content is not the one that its name says",
                    fix="Restore it from a copy of the bucket, or index again.",
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return True

    def _guarded(self) -> _Guard:
        return _Guard(self.folder)


class _Guard:
    """Turns errors of the disk into errors of the index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, IndexStoreError):
            raise store_error(
                "the local copy of the index cannot be written", self._folder, error
            ) from error


def _digest(file: Path) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return StoredFile(digest.hexdigest(), size)


def _is_link(file: Path, content: Path) -> bool:
    try:
        return file.samefile(content)
    except FileNotFoundError:
        return False


def _link(source: Path, target: Path) -> None:
    """Link to a file; on a file system without links, copy it."""
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise
    except OSError:
        if not source.is_file():
            raise FileNotFoundError(source) from None
        shutil.copyfile(source, target)
