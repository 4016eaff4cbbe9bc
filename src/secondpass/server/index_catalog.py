"""The indexes of a server: each tenant has its own, by namespace and name."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import ReadError
from secondpass.index.index import Index
from secondpass.retrieve.ingest import AsIndexed, IngestReport
from secondpass.retrieve.settings import write_json
from secondpass.server.access.api_keys import TENANT
from secondpass.server.http_errors import HttpError
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.retrieve.embedder import Embedder
    from secondpass.server.scheduler.queue import WorkQueue

SERVED = "default"
"""The namespace of the indexes that the server was started with."""
OWN_VECTORS = "own_vectors"
"""In what is known of a collection: true where clients bring the vectors."""
_FILE = "collection.json"
_INDEX = "index"
_TRASH = ".trash"
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class IndexKey:
    """Where a collection is: nobody sees another tenant's."""

    tenant: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        """What `IndexCatalog.find` finds it by."""
        return self.name if self.namespace == SERVED else f"{self.namespace}:{self.name}"


class ServedIndex:
    """One index with what a dialect says of it.

    `about` is the dialect's own JSON object, replaced as a whole by `save`. Safe to use
    from several threads at once.
    """

    def __init__(
        self,
        place: IndexKey,
        index: Path,
        *,
        file: Path | None,
        about: Mapping[str, Any],
        embedder: Embedder,
        reranker: BaseReranker,
        queue: WorkQueue,
    ) -> None:
        self.place = place
        self.about = dict(about)
        self._file, self._path = file, index
        self._embedder, self._reranker, self._queue = embedder, reranker, queue
        self._opened: Index | None = None
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where a dialect may keep files of its own."""
        return self._path.parent if self._file is not None else self._path

    @property
    def index(self) -> Index:
        """The index, opened when it is first needed.

        Raises Problem (400) for one that only the dialect can open that made it.
        """
        if self.about.get(OWN_VECTORS, False):
            why = "has vectors of its clients, and is searched in their dialect only"
            raise HttpError(400, "invalid", f"{self.place.label} {why}")
        with self._lock:
            if self._opened is None:
                made: Mapping[str, Any] = self.about.get("index") or {}
                self._opened = Index.open(
                    self._path,
                    create=self._file is not None,
                    embedder=self._embedder,
                    reranker=self._reranker,
                    **made,
                )
            return self._opened

    def add(
        self,
        documents: Iterable[Document],
        *,
        chunk_tokens: int | AsIndexed | None = "index",
        overlap: int | AsIndexed = "index",
    ) -> IngestReport:
        """Store documents; the embedder waits its turn as requests do.

        `chunk_tokens`, `overlap`: how these are cut, if otherwise than the index says.
        """
        from secondpass.server.scheduler.scheduled_models import ScheduledEncoder

        index = self.index
        encoder = ScheduledEncoder(index.ingest_embedder(), self._queue)
        return index.add_documents(
            documents, encoder, chunk_tokens=chunk_tokens, overlap=overlap
        )

    def save(self, about: Mapping[str, Any]) -> None:
        """Keep what a dialect says of it."""
        if self._file is None:
            raise HttpError(403, "read only", f"{self.place.name} was not made by this server")
        with self._lock:
            write_json(self._file, dict(about))
            self.about = dict(about)

    def close(self) -> None:
        """Let go of the index."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None


class IndexCatalog:
    """Finds, makes and removes collections.

    `data` is the folder of those that clients make; None where they may make none. `served`
    are the indexes that the server was started with: they belong to the tenant "default" and
    are not removed. Safe to use from several threads at once.
    """

    def __init__(
        self,
        data: Path | None,
        served: Mapping[str, Path],
        *,
        embedder: Embedder,
        reranker: BaseReranker,
        queue: WorkQueue,
    ) -> None:
        self._data = data
        self._shared: dict[str, Any] = {
            "embedder": embedder, "reranker": reranker, "queue": queue
        }  # fmt: skip
        self._lock = threading.RLock()
        self._open: dict[IndexKey, ServedIndex] = {}
        for name, path in served.items():
            place = IndexKey(TENANT, SERVED, name)
            self._open[place] = ServedIndex(place, path, file=None, about={}, **self._shared)
        self._served = frozenset(self._open)

    def namespaces(self, tenant: str) -> list[str]:
        """Return the namespaces of a tenant that hold something, by name."""
        there = {p.namespace for p in self._open if p.tenant == tenant}
        if self._data is not None:
            there |= {path.name for path in _folders(self._data / tenant)}
        return sorted(there)

    def listed(self, tenant: str, namespace: str) -> list[ServedIndex]:
        """Return the collections of a namespace, by name."""
        with self._lock:
            names = {
                p.name for p in self._open if (p.tenant, p.namespace) == (tenant, namespace)
            }
            if self._data is not None:
                for path in _folders(self._data / tenant / namespace):
                    if (path / _FILE).is_file():
                        names.add(path.name)
            return [self.get(IndexKey(tenant, namespace, name)) for name in sorted(names)]

    def stored(self) -> int:
        """Return how many collections clients have made, of all tenants."""
        return 0 if self._data is None else sum(1 for _ in self._data.glob(f"*/*/*/{_FILE}"))

    def default(self, tenant: str) -> ServedIndex:
        """Return what a request without a name means: the first index served, or the only one.

        Those that clients of other dialects made have to be named. Raises Problem (404) where
        there is none, or more than one.
        """
        with self._lock:
            served = [p for p in self._open if p in self._served and p.tenant == tenant]
            if served:
                return self._open[served[0]]
            found = self.listed(tenant, SERVED)
        if len(found) == 1:
            return found[0]
        why = "there is no index" if not found else "there are several indexes: name one"
        raise HttpError(404, "no index", why)

    def find(self, tenant: str, name: str) -> ServedIndex:
        """Return a collection by name, or "namespace:name"; raises Problem (404)."""
        namespace, _, rest = name.replace("/", ":").rpartition(":")
        return self.get(IndexKey(tenant, namespace or SERVED, rest))

    def get(self, place: IndexKey) -> ServedIndex:
        """Return a collection; raises Problem (404) where there is none."""
        with self._lock:
            if place in self._open:
                return self._open[place]
            folder = self._folder(place)
            if folder is None or not (folder / _FILE).is_file():
                raise HttpError(404, "not found", f"there is no index {place.name!r}")
            about = _read(folder / _FILE)
            return self._opened(place, folder, about)

    def create(self, place: IndexKey, about: Mapping[str, Any] | None = None) -> ServedIndex:
        """Make a collection; `about["index"]` has what `Index.open` takes for a new index.

        Raises Problem: 409 where there is one, 400 for a name that cannot be, 403 where
        clients may make none.
        """
        with self._lock:
            if self._data is None:
                raise HttpError(403, "read only", "this server was started without --data")
            folder = self._folder(place)
            if folder is None:
                raise HttpError(400, "invalid", f"the name {place.name!r} cannot be used")
            if place in self._open or (folder / _FILE).is_file():
                raise HttpError(409, "exists", f"there is an index {place.name!r} already")
            folder.mkdir(parents=True, exist_ok=True)
            made = dict(about or {})
            write_json(folder / _FILE, made)
            return self._opened(place, folder, made)

    def delete(self, place: IndexKey) -> ServedIndex:
        """Remove a collection with all that is in it; raises Problem: 404, or 403."""
        with self._lock:
            found = self.get(place)
            if place in self._served or self._data is None:
                raise HttpError(403, "read only", f"{place.name} was not made by this server")
            del self._open[place]
            # Moved in one step first: nobody finds half of it.
            trash = self._data / _TRASH / uuid.uuid4().hex
            trash.parent.mkdir(exist_ok=True)
            found.folder.rename(trash)
        found.close()
        shutil.rmtree(trash, ignore_errors=True)
        return found

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for collection in self._open.values():
                collection.close()

    def _opened(self, place: IndexKey, folder: Path, about: Mapping[str, Any]) -> ServedIndex:
        found = ServedIndex(
            place, folder / _INDEX, file=folder / _FILE, about=about, **self._shared
        )
        self._open[place] = found
        return found

    def _folder(self, place: IndexKey) -> Path | None:
        """Return where a collection stands or would stand; None for a name that is no name."""
        parts = (place.tenant, place.namespace, place.name)
        if self._data is None or not all(map(_plain, parts)):
            return None
        return self._data.joinpath(*parts)


def _plain(name: str) -> bool:
    """Return whether a name is safe as that of a folder, on any file system."""
    rest = name.replace("-", "").replace("_", "")
    return (
        0 < len(name) <= _LONGEST
        and name[0] != "-"
        and rest.isascii()
        and (rest.isalnum() or not rest)
    )


def _folders(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (p for p in path.iterdir() if p.is_dir() and _plain(p.name))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise ReadError(
            "What is known of an index cannot be read", where=str(file), why=str(error)
        ) from error
    return found
