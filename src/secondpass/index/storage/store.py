"""The document store of an index in object storage: a local copy that is published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from secondpass.errors import IndexStoreError, SecondpassError
from secondpass.index.storage.lease import Lease
from secondpass.index.storage.local_copy import LocalCopy
from secondpass.index.storage.objects import Objects
from secondpass.index.storage.states import (
    PublishedStates,
    StoppedError,
    follow_removal,
    followed_removal,
    mark_removal,
    removal_of,
    until_stopped,
)
from secondpass.index.storage.versions import Pointer, PublishedVersions, StoredFile
from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.settings import IndexSettings, States, read_settings, write_settings
from secondpass.types import Document

_UPLOAD_THREADS = 8
_TRIES = 5
# Searches that began in a version may still read its files.
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StorageAbout:
    """What is stored of an index in object storage, and here.

    `version`: the number of the version that is read, with so many `files` and `bytes`;
    `current`: that of the newest one. `writer`: who has the lease, None for nobody; a process
    that was killed has it until another one writes. `unindexed_rows`: rows outside the text
    index that lacks most. `local_bytes`: what the copy on this machine takes.
    """

    version: int
    current: int
    files: int
    bytes: int
    writer: str | None
    unindexed_rows: int
    local_bytes: int


class RemoteVersions:
    """The version of an index that this process reads, and how it reads and commits others.

    `pointer` and `files` are those of the version in `view`, a folder of this process; None
    and nothing before there is an index. Thread-safe.
    """

    def __init__(
        self,
        objects: Objects,
        copy: LocalCopy,
        lease: Lease,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objects, self.copy, self.lease = objects, copy, lease
        self.published = PublishedVersions(objects)
        self.pointer: Pointer | None = None
        self.files: Mapping[str, StoredFile] = {}
        self.view: Path | None = None
        self.lock = threading.RLock()
        self._old: list[tuple[float, Path]] = []
        self._clock = clock
        self._newest = 0
        self._newer_since: float | None = None

    def pull(self, *, again: bool = False) -> bool:
        """Make a view of the current version; return whether it is another one than before.

        With `again`, also where the number is the same, as after a write that failed. Raises
        what `PublishedVersions` and `LocalCopy` raise; then all stays as it was.
        """
        for _ in range(_TRIES):
            pointer = self.published.current()
            if pointer is None:
                return False
            known = self.pointer
            self._note_newest(pointer)
            if not again and known is not None and known.version == pointer.version:
                with self.lock:
                    self.pointer = pointer
                return False
            if self._adopt(pointer):
                return True
        raise IndexStoreError(
            "the current version of the index cannot be fetched",
            where=self.objects.url,
            why="its files are not there, or were deleted while they were fetched",
            fix="Try again; if it stays so, restore the bucket from a copy.",
        )

    def _adopt(self, pointer: Pointer) -> bool:
        files = self.published.files(pointer)
        if files is None or not self.copy.fetch(files):
            return False
        view = self.copy.make_view(files)
        if view is None:
            return False
        with self.lock:
            if self.view is not None:
                self._old.append((self._clock(), self.view))
            self.pointer, self.files, self.view = pointer, files, view
            self._note_newest(pointer)
        return True

    def _note_newest(self, pointer: Pointer) -> None:
        with self.lock:
            self._newest = max(self._newest, pointer.number)
            if self.pointer is None or self.pointer.number >= self._newest:
                self._newer_since = None
            elif self._newer_since is None:
                self._newer_since = self._clock()

    def lag(self) -> tuple[int, float]:
        """Return the newest version that was seen, and for how many seconds it is not read."""
        with self.lock:
            since = self._newer_since
            return self._newest, 0.0 if since is None else self._clock() - since

    def push(self, epoch: int) -> None:
        """Make what is in the view now the current version; raises what `publish` raises."""
        if self.view is None:
            raise ValueError("there is no view")
        files = self.copy.scan(self.view, self.files)
        if files == self.files and self.pointer is not None:
            return
        stored = set(self.files.values())
        new = {file for file in files.values() if file not in stored}
        with ThreadPoolExecutor(_UPLOAD_THREADS) as threads:
            for upload in [threads.submit(self._upload, file) for file in new]:
                upload.result()
        pointer = self.published.publish(files, self.pointer, epoch)
        with self.lock:
            self.pointer, self.files = pointer, files
            self._note_newest(pointer)

    def _upload(self, file: StoredFile) -> None:
        self.objects.upload(file.name, self.copy.path(file))

    def drop_old(self) -> None:
        """Delete views that no search reads any more."""
        now = self._clock()
        with self.lock:
            over = [view for since, view in self._old if now - since >= _GRACE_SECONDS]
            self._old = [old for old in self._old if old[1] not in over]
        for view in over:
            self.copy.drop_view(view)

    def close(self) -> None:
        """Release the lease and delete the views."""
        self.lease.release()
        self.copy.close()


class RemoteStore(LanceStore):
    """A `LanceStore` over the local copy of a version, which publishes each of its writes.

    A write is one version for all readers, or none: where it cannot be published the local
    copy goes back to the current version. The process that writes sees its writes before
    others do.
    """

    def __init__(self, folder: Path, settings: IndexSettings, remote: RemoteVersions) -> None:
        super().__init__(folder, settings)
        self.remote = remote
        self.states = PublishedStates(self.states_folder)
        self._stop = threading.Event()
        self._following: threading.Thread | None = None
        self._problem: IndexStoreError | None = None
        self._remove_states: Callable[[Iterator[list[Document]]], object] | None = None
        self._tried = ""
        self._follow_failures = 0
        self._version = 0

    @property
    def states_folder(self) -> Path:
        """Where token states are kept: on this machine, for all versions."""
        return self.remote.copy.folder

    def take_in_states(self) -> None:
        """Take the states of the version into those of this machine."""
        if self.settings.keep_states:
            self.states.take_in(self.folder)

    def publish_states(self, *, removed: bool = False) -> None:
        """Publish states that were stored since the last write; many files become one.

        With `removed`, readers are told to remove theirs.
        """
        with self._writing("the states were not published"):
            self.states.merge(self.folder)
            if removed:
                mark_removal(self.folder)
        if removed:
            follow_removal(self.states_folder, removal_of(self.folder))

    def when_removed(self, remove: Callable[[Iterator[list[Document]]], object]) -> None:
        """Call `remove` where another machine has removed states, with all passages.

        It is called in the thread that looks for new versions.
        """
        self._remove_states = remove

    def _follow_removal(self, remove: Callable[[Iterator[list[Document]]], object]) -> None:
        removal = removal_of(self.folder)
        if not removal or removal in (self._tried, followed_removal(self.states_folder)):
            return
        # Only once: what fails would fail again, and costs nothing but space.
        self._tried = removal
        with suppress(SecondpassError, OSError, StoppedError):
            remove(until_stopped(self.iter_documents(), self._stop))
            follow_removal(self.states_folder, removal)

    @property
    def place(self) -> str:
        """The URL of the index, for messages."""
        return self.remote.objects.url

    def record_states(self, states: States | None) -> None:
        """Record how a reranker stores states of passages; None changes nothing."""
        if self.settings.with_states(states) == self.settings:
            return
        with self._writing("the index was not changed"):
            self._settings = self.settings.with_states(states)
            write_settings(self.folder, self._settings)

    def refresh(self) -> bool:
        """Move to the current version, if it is another one; return whether it was."""
        with self._lock:
            moved = self.remote.pull()
            if moved:
                self._open_view()
        self.remote.drop_old()
        return moved

    def follow(self, seconds: float) -> None:
        """Move to each new version, in a thread that looks for one every so many seconds.

        Where the storage cannot be reached, searches stay on the version that they have;
        `problem` says so.
        """

        def run() -> None:
            while not self._stop.wait(seconds):
                try:
                    self.refresh()
                except IndexStoreError as error:
                    self._problem = error
                    self._follow_failures += 1
                else:
                    self._problem = None
                if (remove := self._remove_states) is not None and self.settings.keep_states:
                    self._follow_removal(remove)

        self._following = threading.Thread(target=run, name="secondpass-follow", daemon=True)
        self._following.start()

    @property
    def problem(self) -> IndexStoreError | None:
        """Why the last look for a new version failed; None where it did not."""
        return self._problem

    @property
    def follow_failures(self) -> int:
        """How often a look for a new version has failed."""
        return self._follow_failures

    @property
    def version(self) -> int:
        """The number of the published version that is read; 0 before the first."""
        with self.remote.lock:
            pointer, view = self.remote.pointer, self.remote.view
        if pointer is None:
            return 0
        # Between the making of a view and its opening, searches read the one before.
        if view == self.folder:
            self._version = pointer.number
        return self._version

    def describe_storage(self) -> StorageAbout:
        """Return what is stored; asks the storage. Raises IndexStoreError where it fails."""
        current = self.remote.published.current()
        with self._lock:
            rows, files = self.count_unindexed(), self.remote.files
        return StorageAbout(
            version=self.version,
            current=0 if current is None else current.number,
            files=len(files),
            bytes=sum(file.size for file in set(files.values())),
            writer=self.remote.lease.holder(),
            unindexed_rows=rows,
            local_bytes=self.remote.copy.count_bytes(),
        )

    def optimize(self, *, keep: timedelta = timedelta(days=7)) -> None:
        """Merge files and rebuild the search indexes, check the counts of rows, and publish.

        Raises IndexStoreError where a count differs; then nothing has changed. Files that no
        version needs are deleted from the storage.
        """
        with self._writing("the index was not optimized") as table:
            before = (int(table.count_rows()), int(table.count_rows(schema.PASSAGES)))
            self._optimize(table, keep)
            for column in lance_table.text_columns(table):
                if lance_table.unindexed_share(table, column):
                    lance_table.index_text(table, self.settings.language, column)
            after = (int(table.count_rows()), int(table.count_rows(schema.PASSAGES)))
            unindexed = [c for c in lance_table.text_columns(table) if _unindexed(table, c)]
            if before != after or unindexed:
                raise IndexStoreError(
                    "the index was not optimized",
                    where=self.remote.objects.url,
                    why=f"it had {before[0]} rows and {before[1]} passages, then {after[0]} "
                    f"and {after[1]}, and {len(unindexed)} text indexes lack rows",
                    fix="Nothing was changed. Try again, and report it if it stays so.",
                )
        with self.remote.lease.use():
            pointer = self.remote.pointer
            if pointer is not None:
                self.remote.published.delete_unused(pointer)

    def close(self) -> None:
        """Stop following, give the lease back, and delete this process's views."""
        self._stop.set()
        if self._following is not None:
            self._following.join()
        super().close()
        self.remote.close()

    @contextmanager
    def _writing(self, what: str) -> Iterator[Any]:
        with self._lock, self.remote.lease.use() as epoch:
            self._catch_up(epoch)
            try:
                with super()._writing(what) as table:
                    yield table
                with self._guarded(what):
                    if self.settings.keep_states:
                        self.states.export(self.folder)
                    self.remote.push(epoch)
                self.states.exported()
            except BaseException:
                self._roll_back()
                raise

    def _catch_up(self, epoch: int) -> None:
        """Move to the current version, and make sure that only this writer can commit."""
        if self.remote.pull():
            self._open_view()
        pointer = self.remote.pointer
        if pointer is None or pointer.epoch == epoch:
            return
        fenced = self.remote.published.fence(pointer, epoch)
        if fenced.version != pointer.version and self.remote.pull():
            self._open_view()
        self.remote.pointer = fenced

    def _roll_back(self) -> None:
        self.remote.lease.verify()
        # Where the storage cannot be reached either, the next write does it.
        try:
            if self.remote.pull(again=True):
                self._open_view()
        except IndexStoreError:
            self.remote.pointer = None

    def _open_view(self) -> None:
        """Read the view that was made last, and say so."""
        view = self.remote.view
        if view is not None:
            self.move(view, read_settings(view))
            self._version = self.version
            self.take_in_states()


def _unindexed(table: Any, column: str) -> bool:
    return lance_table.unindexed_share(table, column) > 0
