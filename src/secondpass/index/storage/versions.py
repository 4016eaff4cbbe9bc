"""Versions of an index in object storage, and the pointer to the current one."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from secondpass.errors import IndexStoreError
from secondpass.index.storage.lease import NAME as LEASE
from secondpass.index.storage.objects import Objects

CURRENT = "CURRENT"
OBJECTS, VERSIONS = "objects", "versions"
FORMAT = 1
_KEEP = timedelta(days=1)
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Parts of letters, digits and - _ . that do not begin with a point, as LanceDB names its files.
_PATH = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version: the SHA-256 of its content, in hexadecimal, and its bytes."""

    digest: str
    size: int

    @property
    def name(self) -> str:
        """The name of the object with its content."""
        return f"{OBJECTS}/{self.digest[:2]}/{self.digest}"


@dataclass(frozen=True, slots=True)
class Pointer:
    """What `CURRENT` says: the number of the version, the name of its list, and an epoch.

    `tag` is that of the object, for the next conditional put.
    """

    number: int
    version: str
    epoch: int
    tag: str


class PublishedVersions:
    """The versions of the index below a prefix; thread-safe.

    A version is a list of files, each an object named by its content. `CURRENT` names the
    list. Only a conditional put of `CURRENT` changes what readers see, and its epoch is that
    of the writer's lease: once a later writer has put its own, puts of an earlier one fail.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def current(self) -> Pointer | None:
        """Return the pointer, None where there is no index yet.

        Raises IndexStoreError for a prefix that holds something else, or an index of a newer
        version.
        """
        found = self.objects.get(CURRENT)
        if found is None:
            self._check_empty()
            return None
        stored = self._parse(found[0], CURRENT)
        try:
            return Pointer(
                int(stored["number"]), str(stored["version"]), int(stored["epoch"]), found[1]
            )
        except (KeyError, TypeError, ValueError):
            raise self._not_an_index(CURRENT) from None

    def last_epoch(self) -> int:
        """Return the epoch of the last commit, 0 before there is an index."""
        pointer = self.current()
        return 0 if pointer is None else pointer.epoch

    def files(self, pointer: Pointer) -> dict[str, StoredFile] | None:
        """Return the files of a version by path; None where it was deleted since.

        Raises IndexStoreError for a damaged list.
        """
        found = self.objects.get(pointer.version)
        if found is None:
            return None
        stored = self._parse(found[0], pointer.version)
        try:
            files = {
                str(path): StoredFile(str(digest), int(size))
                for path, digest, size in stored["files"]
            }
        except (KeyError, TypeError, ValueError):
            raise self._not_an_index(pointer.version) from None
        for path, file in files.items():
            # They become names of local files: none may lead out of the folder of the copy.
            if not _PATH.fullmatch(path) or not _DIGEST.fullmatch(file.digest):
                raise self._not_an_index(pointer.version)
        return files

    def fence(self, pointer: Pointer, epoch: int) -> Pointer:
        """Put the epoch of this writer's lease, so that no earlier writer can commit.

        Return the pointer that is current then: another version, where an earlier writer was
        faster. Raises IndexStoreError where a later writer has put its own.
        """
        while pointer.epoch < epoch:
            moved = self._move(pointer.number, pointer.version, epoch, pointer.tag)
            if moved is not None:
                return moved
            found = self.current()
            if found is None:
                raise self._lost()
            pointer = found
        if pointer.epoch > epoch:
            raise self._lost()
        return pointer

    def publish(
        self, files: Mapping[str, StoredFile], pointer: Pointer | None, epoch: int
    ) -> Pointer:
        """Make these files, whose objects are stored, the version after `pointer`.

        Raises IndexStoreError where another writer was faster; then nothing has changed.
        """
        number = 1 if pointer is None else pointer.number + 1
        rows = [[path, file.digest, file.size] for path, file in sorted(files.items())]
        content = json.dumps({"format": FORMAT, "number": number, "files": rows}).encode()
        name = f"{VERSIONS}/{number:010}-{hashlib.sha256(content).hexdigest()[:16]}.json"
        # Where it is there already it has this content, which its name says.
        self.objects.put_if(name, content, None)
        moved = self._move(number, name, epoch, None if pointer is None else pointer.tag)
        if moved is None:
            raise self._lost()
        return moved

    def delete_unused(self, pointer: Pointer, keep: timedelta = _KEEP) -> int:
        """Delete what no version of the last day needs, and return how many objects.

        So a reader can fetch a version, and a copy of the prefix be made, while writers go on.
        Ages are differences of the storage's own times, as clocks differ.
        """
        lists = sorted(self.objects.list(VERSIONS), key=lambda info: info.name)
        contents = list(self.objects.list(OBJECTS))
        newest = max((info.modified for info in (*lists, *contents)), default=None)
        if newest is None:
            return 0
        # A version was current until the next one was written.
        ends = [info.modified for info in lists[1:]]
        recent = [
            info.name for info, end in zip(lists, ends, strict=False) if newest - end <= keep
        ]
        needed = {pointer.version, *recent, *(info.name for info in lists[-1:])}
        for name in list(needed):
            files = self.files(replace(pointer, version=name))
            if files is None:
                continue
            needed.update(file.name for file in files.values())
        unused = [
            info.name
            for info in (*lists, *contents)
            # A writer uploads contents before the list that names them.
            if info.name not in needed and newest - info.modified > keep
        ]
        self.objects.delete(unused)
        return len(unused)

    def _move(self, number: int, version: str, epoch: int, tag: str | None) -> Pointer | None:
        content = {
            "format": FORMAT,
            "number": number,
            "version": version,
            "epoch": epoch,
            "token": secrets.token_hex(8),
        }
        new = self.objects.put_if(CURRENT, json.dumps(content, indent=1).encode(), tag)
        return None if new is None else Pointer(number, version, epoch, new)

    def _parse(self, content: bytes, name: str) -> dict[str, Any]:
        try:
            stored = json.loads(content)
        except ValueError:
            stored = None
        if not isinstance(stored, dict) or not isinstance(stored.get("format"), int):
            raise self._not_an_index(name)
        if stored["format"] > FORMAT:
            raise IndexStoreError(
                "the index was made by a newer version",
                where=self.objects.url,
                why=f"its format is {stored['format']}, and this version reads up to {FORMAT}",
                fix="Update with: pip install -U secondpass",
            )
        return stored

    def _check_empty(self) -> None:
        for info in self.objects.list():
            if info.name != LEASE and not info.name.startswith((f"{OBJECTS}/", f"{VERSIONS}/")):
                raise self._not_an_index(info.name)

    def _not_an_index(self, name: str) -> IndexStoreError:
        return IndexStoreError(
            "the prefix holds something else than an index",
            where=self.objects.url,
            why=f"it has an object {name!r} that no index has",
            fix="Give another prefix, or an empty one.",
        )

    def _lost(self) -> IndexStoreError:
        return IndexStoreError(
            "another process writes to the index now, and nothing was stored",
            where=self.objects.url,
            why="this one did not renew its lease in time, and lost it",
            fix="Try again; if it happens again, see why this process was stopped for long.",
        )
