"""The versions of an index that a shard has open: a folder, or versions in object storage."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from secondpass.cluster.owners import owner_of
from secondpass.errors import IndexNotFoundError, IndexStoreError, SecondpassError
from secondpass.index.storage.local_copy import LocalCopy, default_folder
from secondpass.index.storage.objects import is_url, open_objects
from secondpass.index.storage.open import FOLLOW_SECONDS
from secondpass.index.storage.states import FOLDER as STATES
from secondpass.index.storage.states import (
    StoppedError,
    follow_removal,
    followed_removal,
    removal_of,
)
from secondpass.index.storage.versions import Pointer, PublishedVersions, StoredFile
from secondpass.rerank.precomputed.state_files import import_states, is_imported
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.retrieve.settings import States
from secondpass.retrieve.store_protocol import TextEncoder
from secondpass.storage import exclusive, is_locked, store_error

_log = logging.getLogger("secondpass.server")
_IN_USE = ".in-use"
_KEPT = 2
_GRACE_SECONDS = 60.0
_TRIES = 3


class Pin(NamedTuple):
    """A published version of an index: its number, and the name of its list of files."""

    number: int
    name: str


@dataclass
class OpenVersion:
    """A version that can be searched; `pin` is None for an index in a folder.

    `used`: when a search last asked for it, on the clock of `time.monotonic`.
    """

    pin: Pin | None
    store: LanceStore
    retriever: HybridRetriever
    used: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Close the files."""
        self.retriever.close()
        self.store.close()


RemoveStates = Callable[[LanceStore, threading.Event], None]


class ShardVersions(Protocol):
    """What a shard has of one index."""

    states_folder: Path
    """Where the token states are that this shard reads."""
    states: States
    """How states are stored."""

    when_removed: RemoveStates | None
    """Called with a version for which states are to be removed, and what says to stop."""

    @property
    def newest(self) -> Pin | None:
        """The newest version that is open here; None for an index in a folder."""

    @property
    def problem(self) -> str | None:
        """Why the last look for a new version failed; None where it did not."""

    def at(self, pin: Pin | None) -> OpenVersion:
        """Return a version, opened if it is not; None for the newest."""

    def close(self) -> None:
        """Close all versions."""


class FolderVersions:
    """An index in a folder: always what was committed last, with the states of all shards."""

    newest = None
    problem = None
    # `Index.optimize` removes from the same file.
    when_removed: RemoveStates | None = None

    def __init__(self, folder: Path, embedder: TextEncoder) -> None:
        store = open_index(folder, embedder, create=False)
        self._open = OpenVersion(None, store, HybridRetriever(store, embedder))
        self.states_folder = store.states_folder
        self.states = store.settings.states

    def at(self, pin: Pin | None) -> OpenVersion:
        """Return the index."""
        return self._open

    def close(self) -> None:
        """Close the index."""
        self._open.close()


class StoredVersions:
    """An index in object storage: its newest version and the one before, and others if asked.

    A thread looks for a new version every `follow` seconds, fetches its files and the states
    that this shard owns, and opens it. Of states a shard keeps its own alone; a file of them is
    fetched, split and deleted. Raises IndexNotFoundError where there is no index.
    """

    def __init__(
        self,
        url: str,
        embedder: TextEncoder,
        *,
        shard: int,
        shards: int,
        follow: float = FOLLOW_SECONDS,
        local_folder: Path | None = None,
    ) -> None:
        objects = open_objects(url)
        self._url, self._embedder = objects.url, embedder
        self._published = PublishedVersions(objects)
        folder = default_folder(objects.url) if local_folder is None else local_folder
        self._copy = LocalCopy(folder, objects)
        self.states_folder = folder / "shards" / f"{shard}-of-{shards}"
        self._used = ExitStack()
        self._owned: Callable[[bytes], bool] = lambda key: owner_of(key, shards) == shard
        self._versions: dict[int, OpenVersion] = {}
        self._lock = threading.RLock()
        self._problem: str | None = None
        self.when_removed: RemoveStates | None = None
        self._tried_removal: str | None = None
        self._stop = threading.Event()
        pointer = self._published.current()
        if pointer is None:
            raise IndexNotFoundError(
                "there is no index",
                where=objects.url,
                fix=f"Make one first: secondpass index FILES --index {objects.url}",
            )
        try:
            self._claim_states(shards)
        except OSError as error:
            raise store_error(
                "the states of a shard cannot be stored", self.states_folder, error
            ) from error
        newest = self.at(Pin(pointer.number, pointer.version))
        self._newest = newest.pin
        self.states = newest.store.settings.states
        self._following = threading.Thread(
            target=self._follow, args=[follow], name="secondpass-follow", daemon=True
        )
        self._following.start()

    @property
    def newest(self) -> Pin | None:
        """The newest version that is open here."""
        return self._newest

    @property
    def problem(self) -> str | None:
        """Why the last look for a new version failed; None where it did not."""
        return self._problem

    def at(self, pin: Pin | None) -> OpenVersion:
        """Return a version, opened if it is not; raises IndexStoreError where it is gone."""
        pin = self._newest if pin is None else pin
        assert pin is not None
        found = self._versions.get(pin.number)
        if found is None:
            with self._lock:
                found = self._versions.get(pin.number)
                if found is None:
                    found = self._versions[pin.number] = self._open(pin)
        found.used = time.monotonic()
        return found

    def refresh(self) -> None:
        """Open the current version, if it is another one, and close those of old."""
        pointer = self._published.current()
        if pointer is not None and (
            self._newest is None or self._newest.number != pointer.number
        ):
            self._newest = self.at(Pin(pointer.number, pointer.version)).pin
        self._close_old()

    def close(self) -> None:
        """Stop following, and delete this process's views."""
        self._stop.set()
        self._following.join()
        with self._lock:
            for version in self._versions.values():
                version.close()
            self._versions.clear()
        self._copy.close()
        self._used.close()

    def _claim_states(self, shards: int) -> None:
        """Mark the folder of states as used; delete those that other numbers of shards left."""
        self.states_folder.mkdir(parents=True, exist_ok=True)
        mark = self.states_folder / f"{secrets.token_hex(8)}{_IN_USE}"
        # Held while the process lives, whatever ends it.
        self._used.enter_context(exclusive(mark))
        self._used.callback(mark.unlink, missing_ok=True)
        for other in self.states_folder.parent.glob("*-of-*"):
            in_use = any(map(is_locked, other.glob(f"*{_IN_USE}")))
            if not other.name.endswith(f"-of-{shards}") and not in_use:
                _log.info("states of another number of shards are deleted: %s", other.name)
                shutil.rmtree(other, ignore_errors=True)

    def _follow(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self.refresh()
            except IndexStoreError as error:
                self._problem = error.what
                _log.warning("no look for a new version: %s", error)
            else:
                self._problem = None
                self._follow_removal()

    def _follow_removal(self) -> None:
        """Remove states that the newest version does not need, or that others own.

        After the first version that was opened here, and whenever `optimize` has removed some.
        """
        if self.when_removed is None:
            return
        try:
            store = self.at(None).store
            removal = removal_of(store.folder)
            done = removal in (self._tried_removal, followed_removal(self.states_folder))
            if done or not store.settings.keep_states:
                return
            self._tried_removal = removal
            self.when_removed(store, self._stop)
            follow_removal(self.states_folder, removal)
        except (SecondpassError, OSError) as error:
            _log.warning("states that are not needed were not removed: %s", error)
        except StoppedError:
            return

    def _close_old(self) -> None:
        with self._lock:
            oldest = sorted(self._versions)[:-_KEPT]
            for number in oldest:
                version = self._versions[number]
                if time.monotonic() - version.used >= _GRACE_SECONDS:
                    del self._versions[number]
                    version.close()
                    self._copy.drop_view(version.store.folder)

    def _open(self, pin: Pin) -> OpenVersion:
        for _ in range(_TRIES):
            files = self._published.files(Pointer(pin.number, pin.name, 0, ""))
            if files is None:
                break
            tables = {p: file for p, file in files.items() if not p.startswith(f"{STATES}/")}
            states = {p: file for p, file in files.items() if p not in tables}
            view = self._copy.make_view(tables) if self._copy.fetch(tables) else None
            if view is None:
                continue
            store = open_index(view, self._embedder, create=False, place=self._url)
            if store.settings.keep_states:
                self._take_in(states)
            return OpenVersion(pin, store, HybridRetriever(store, self._embedder))
        raise IndexStoreError(
            f"version {pin.number} of the index cannot be fetched",
            where=self._url,
            why="its files are not there, or were deleted while they were fetched",
            fix="Search the current version, or restore the bucket from a copy.",
        )

    def _take_in(self, states: Mapping[str, StoredFile]) -> None:
        """Take the states that this shard owns from files of a version, each once."""
        self.states_folder.mkdir(parents=True, exist_ok=True)
        for path, file in sorted(states.items()):
            target = self.states_folder / f"{path.split('/')[1]}.sqlite"
            content = self._copy.path(file)
            if is_imported(content.name, target):
                continue
            problem: str | None = "it is not stored any more"
            for _ in range(_TRIES):
                if not self._copy.fetch({path: file}):
                    break
                problem = import_states(content, target, owned=self._owned)
                if problem is None:
                    break
                # Another shard on this machine may have deleted it: it is fetched again.
            if problem is not None:
                fields = {"file": path, "why": problem}
                _log.warning("states were not taken in", extra={"fields": fields})
            with suppress(FileNotFoundError):
                # A link more than this one is that of another process, which reads it.
                if content.stat().st_nlink == 1:
                    content.unlink()


def open_versions(
    place: str | Path, embedder: TextEncoder, *, shard: int, shards: int
) -> ShardVersions:
    """Open the index at a place for one shard; raises what opening it raises."""
    if isinstance(place, str) and is_url(place):
        return StoredVersions(place, embedder, shard=shard, shards=shards)
    return FolderVersions(Path(place), embedder)
