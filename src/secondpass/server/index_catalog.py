"""The indexes of a server: each tenant has its own, by namespace and name."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.errors import MissingExtraError, ReadError
from secondpass.index.index import Index
from secondpass.index.search import Search
from secondpass.retrieve.ingest_batches import AsIndexed
from secondpass.retrieve.ingest_report import IngestReport
from secondpass.retrieve.settings import write_json
from secondpass.server.access.api_keys import TENANT
from secondpass.server.http_errors import HttpError
from secondpass.server.served_database import Database
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.index.storage.store import RemoteStore
    from secondpass.rerank.base import BaseReranker
    from secondpass.retrieve.embedder import Embedder
    from secondpass.server.scheduler.queue import WorkQueue

DEFAULT_NAMESPACE = "default"
"""The namespace of the indexes of `/api/v1`, and of those that the server was started with."""
OWN_VECTORS = "own_vectors"
"""A key of an index's metadata: true where clients bring the vectors."""
_METADATA_FILE = "collection.json"
_INDEX_FOLDER = "index"
_TRASH_FOLDER = ".trash"
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class IndexKey:
    """The tenant, namespace and name of an index; no tenant can see another's."""

    tenant: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        """The name by which `IndexCatalog.find` finds it."""
        if self.namespace == DEFAULT_NAMESPACE:
            return self.name
        return f"{self.namespace}:{self.name}"


class ServedIndex:
    """One index, with the metadata that its dialect keeps of it.

    `metadata` is a JSON object, replaced as a whole by `save`. Safe to use from several
    threads at once.
    """

    def __init__(
        self,
        key: IndexKey,
        index: str | Path,
        *,
        file: Path | None,
        metadata: Mapping[str, Any],
        embedder: Embedder,
        reranker: BaseReranker,
        rescorers: Mapping[str, BaseReranker],
        queue: WorkQueue,
    ) -> None:
        self.key = key
        self.metadata = dict(metadata)
        self._file, self._path = file, index
        self._embedder, self._reranker, self._queue = embedder, reranker, queue
        self._rescorers = rescorers
        self._index: Index | None = None
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """The folder in which a dialect may keep files of its own.

        Raises HttpError (403) for an index in object storage.
        """
        if isinstance(self._path, str):
            why = "is in object storage, where no query sets and files of other APIs are kept"
            raise HttpError(403, "read only", f"{self.key.name} {why}")
        return self._path.parent if self._file is not None else self._path

    @property
    def source(self) -> Search:
        """What is searched: the index."""
        return self.index

    @property
    def explainable(self) -> Search:
        """What is searched, where passages can be asked for by id.

        Raises HttpError (403) for a database of others.
        """
        return self.index

    @property
    def searched_only(self) -> bool:
        """Whether it is no index of this process, and is written to by other means."""
        return False

    @property
    def status(self) -> Mapping[str, Any] | None:
        """What `/ready` says of it; None for nothing."""
        remote = self.remote
        if remote is None:
            return None
        problem = remote.problem
        return {
            "version": remote.version,
            "status": "ok" if problem is None else problem.what,
        }

    @property
    def remote(self) -> RemoteStore | None:
        """The store of an index in object storage; None for others, and one not opened yet."""
        return None if self._index is None else self._index.remote

    def count(self) -> int | None:
        """Return how many documents there are; None where that is not known."""
        return self.index.count()

    @property
    def database(self) -> Database | None:
        """The database that is searched instead of an index of secondpass; else None."""
        return None

    @property
    def index(self) -> Index:
        """The index, opened when it is first needed.

        Raises HttpError (400) for one that only the dialect which created it can open.
        """
        if self.metadata.get(OWN_VECTORS, False):
            why = "has vectors of its clients, and is searched in their dialect only"
            raise HttpError(400, "invalid", f"{self.key.label} {why}")
        with self._lock:
            if self._index is None:
                options: Mapping[str, Any] = self.metadata.get("index") or {}
                self._index = Index.open(
                    self._path,
                    create=self._file is not None,
                    embedder=self._embedder,
                    reranker=self._reranker,
                    **options,
                )
                self._index.use_models(self._rescorers)
            return self._index

    def add(
        self,
        documents: Iterable[Document],
        *,
        chunk_tokens: int | AsIndexed | None = "index",
        overlap: int | AsIndexed = "index",
    ) -> IngestReport:
        """Store documents, embedding them through the work queue.

        `chunk_tokens`, `overlap`: how these are chunked, if not as the index says.
        """
        from secondpass.server.scheduler.scheduled_models import ScheduledEncoder

        index = self.index
        encoder = ScheduledEncoder(index.ingest_embedder(), self._queue, tenant=self.key.tenant)
        return index.add_documents(
            documents, encoder, chunk_tokens=chunk_tokens, overlap=overlap
        )

    def save(self, metadata: Mapping[str, Any]) -> None:
        """Replace the metadata; raises HttpError (403) for an index that is only served."""
        if self._file is None:
            raise HttpError(403, "read only", f"{self.key.name} was not made by this server")
        with self._lock:
            write_json(self._file, dict(metadata))
            self.metadata = dict(metadata)

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            if self._index is not None:
                self._index.close()
                self._index = None


class SearchedOnly(ServedIndex):
    """What is searched like an index, and written to by other means, which `why` names."""

    why = ""

    def __init__(self, key: IndexKey) -> None:
        self.key = key
        self.metadata: dict[str, Any] = {}
        self._index = None

    @property
    def searched_only(self) -> bool:
        """True."""
        return True

    @property
    def folder(self) -> Path:
        """There is none: raises HttpError (403)."""
        raise self._read_only()

    @property
    def index(self) -> Index:
        """There is none: raises HttpError (403)."""
        raise self._read_only()

    def save(self, metadata: Mapping[str, Any]) -> None:
        """Raise HttpError (403)."""
        raise self._read_only()

    def _read_only(self) -> HttpError:
        return HttpError(403, "read only", f"{self.key.name} {self.why}")


class ServedDatabase(SearchedOnly):
    """A database of others, searched like an index; it is not written to."""

    why = "is a database that is only searched here: write to it by its own means"

    def __init__(self, key: IndexKey, database: Database) -> None:
        super().__init__(key)
        self._database = database

    @property
    def source(self) -> Search:
        """The search of the database; raises HttpError (503) where it cannot be reached."""
        return self._database.open()

    def count(self) -> int | None:
        """Return how many passages there are; None where that is not known."""
        return self.source.describe().count

    @property
    def database(self) -> Database:
        """The database."""
        return self._database

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


OpenServed = Callable[[IndexKey, str | Path], ServedIndex]
"""Makes what is served under a key of the index at a place."""


class IndexCatalog:
    """Finds, creates and deletes indexes.

    `data` is the folder of those that clients create; None where they may create none.
    `served` are the indexes that the server was started with, and `databases` the URLs of what
    is searched like them: they belong to the tenant "default" and are not deleted.
    `rescorers`: what rescores searches where they do not say, by its name; None for nothing.
    `open_served`: makes the former, where they are not opened in this process. Safe to use from
    several threads at once.
    """

    def __init__(
        self,
        data: Path | None,
        served: Mapping[str, str | Path],
        databases: Mapping[str, str] | None = None,
        *,
        embedder: Embedder,
        reranker: BaseReranker,
        rescorers: Mapping[str, BaseReranker] | None = None,
        queue: WorkQueue,
        open_served: OpenServed | None = None,
    ) -> None:
        self._data = data
        self._models: dict[str, Any] = {
            "embedder": embedder,
            "reranker": reranker,
            "rescorers": rescorers or {},
            "queue": queue,
        }
        self._lock = threading.RLock()
        self._indexes: dict[IndexKey, ServedIndex] = {}
        for name, path in served.items():
            key = IndexKey(TENANT, DEFAULT_NAMESPACE, name)
            self._indexes[key] = (
                ServedIndex(key, path, file=None, metadata={}, **self._models)
                if open_served is None
                else open_served(key, path)
            )
        for name, url in (databases or {}).items():
            key = IndexKey(TENANT, DEFAULT_NAMESPACE, name)
            database = Database(
                name, url, embedder=embedder, reranker=reranker, rescorers=rescorers or {}
            )
            self._indexes[key] = ServedDatabase(key, database)
        self._served = frozenset(self._indexes)

    def namespaces(self, tenant: str) -> list[str]:
        """Return the namespaces of a tenant that have indexes, by name."""
        names = {key.namespace for key in self._indexes if key.tenant == tenant}
        if self._data is not None:
            names |= {path.name for path in _folders(self._data / tenant)}
        return sorted(names)

    @property
    def databases(self) -> dict[str, Database]:
        """The databases that the server searches, by name."""
        served = ((key.name, self._indexes[key].database) for key in self._served)
        return {name: found for name, found in sorted(served) if found is not None}

    @property
    def remote(self) -> dict[str, RemoteStore]:
        """The stores of the served indexes that are in object storage, by name."""
        served = ((key.name, self._indexes[key].remote) for key in self._served)
        return {name: store for name, store in sorted(served) if store is not None}

    @property
    def statuses(self) -> dict[str, Mapping[str, Any]]:
        """What `/ready` says of the indexes that the server was started with, by name."""
        served = [(key.name, self._indexes[key].status) for key in self._served]
        return {name: status for name, status in sorted(served) if status is not None}

    def list_indexes(self, tenant: str, namespace: str) -> list[ServedIndex]:
        """Return the indexes of a namespace, by name."""
        with self._lock:
            names = {
                key.name
                for key in self._indexes
                if (key.tenant, key.namespace) == (tenant, namespace)
            }
            if self._data is not None:
                for path in _folders(self._data / tenant / namespace):
                    if (path / _METADATA_FILE).is_file():
                        names.add(path.name)
            return [self.get(IndexKey(tenant, namespace, name)) for name in sorted(names)]

    def count_created(self) -> int:
        """Return how many indexes clients have created, of all tenants."""
        if self._data is None:
            return 0
        return sum(1 for _ in self._data.glob(f"*/*/*/{_METADATA_FILE}"))

    def default(self, tenant: str) -> ServedIndex:
        """Return the index of a request that names none: the first one served, or the only one.

        Indexes of other dialects must be named. Raises HttpError (404) where there is no
        index, or more than one.
        """
        with self._lock:
            served = [key for key in self._indexes if key in self._served]
            served = [key for key in served if key.tenant == tenant]
            if served:
                return self._indexes[served[0]]
            indexes = self.list_indexes(tenant, DEFAULT_NAMESPACE)
        if len(indexes) == 1:
            return indexes[0]
        why = "there is no index" if not indexes else "there are several indexes: name one"
        raise HttpError(404, "no index", why)

    def find(self, tenant: str, name: str) -> ServedIndex:
        """Return an index by name, or "namespace:name"; raises HttpError (404)."""
        namespace, _, rest = name.replace("/", ":").rpartition(":")
        return self.get(IndexKey(tenant, namespace or DEFAULT_NAMESPACE, rest))

    def get(self, key: IndexKey) -> ServedIndex:
        """Return an index by key; raises HttpError (404) where there is none."""
        with self._lock:
            if key in self._indexes:
                return self._indexes[key]
            folder = self._folder(key)
            if folder is None or not (folder / _METADATA_FILE).is_file():
                raise HttpError(404, "not found", f"there is no index {key.name!r}")
            metadata = _read_metadata(folder / _METADATA_FILE)
            return self._add(key, folder, metadata)

    def create(self, key: IndexKey, metadata: Mapping[str, Any] | None = None) -> ServedIndex:
        """Create an index; `metadata["index"]` has the options of `Index.open` for a new one.

        Raises HttpError: 409 where it exists, 400 for a name that cannot be used, 403 where
        clients may create none; MissingExtraError where nothing could be stored in it.
        """
        if find_spec("lancedb") is None:
            raise MissingExtraError("An index", package="lancedb", extra="index")
        with self._lock:
            if self._data is None:
                raise HttpError(403, "read only", "this server was started without --data")
            folder = self._folder(key)
            if folder is None:
                raise HttpError(400, "invalid", f"the name {key.name!r} cannot be used")
            if key in self._indexes or (folder / _METADATA_FILE).is_file():
                raise HttpError(409, "exists", f"there is an index {key.name!r} already")
            folder.mkdir(parents=True, exist_ok=True)
            new_metadata = dict(metadata or {})
            write_json(folder / _METADATA_FILE, new_metadata)
            return self._add(key, folder, new_metadata)

    def delete(self, key: IndexKey) -> ServedIndex:
        """Delete an index with everything in it; raises HttpError: 404, or 403."""
        with self._lock:
            served = self.get(key)
            if served.searched_only:
                _ = served.folder
            if key in self._served or self._data is None:
                raise HttpError(403, "read only", f"{key.name} was not made by this server")
            del self._indexes[key]
            # Moved away in one step first, so that no half of it is ever found.
            trash = self._data / _TRASH_FOLDER / uuid.uuid4().hex
            trash.parent.mkdir(exist_ok=True)
            served.folder.rename(trash)
        served.close()
        shutil.rmtree(trash, ignore_errors=True)
        return served

    def close(self) -> None:
        """Close all indexes."""
        with self._lock:
            for served in self._indexes.values():
                served.close()

    def _add(self, key: IndexKey, folder: Path, metadata: Mapping[str, Any]) -> ServedIndex:
        served = ServedIndex(
            key,
            folder / _INDEX_FOLDER,
            file=folder / _METADATA_FILE,
            metadata=metadata,
            **self._models,
        )
        self._indexes[key] = served
        return served

    def _folder(self, key: IndexKey) -> Path | None:
        """Return the folder of an index; None for a name that is not safe as a folder's."""
        parts = (key.tenant, key.namespace, key.name)
        if self._data is None or not all(map(_is_safe, parts)):
            return None
        return self._data.joinpath(*parts)


def _is_safe(name: str) -> bool:
    """Return whether a name is safe as that of a folder, on any file system."""
    rest = name.replace("-", "").replace("_", "")
    return (
        0 < len(name) <= _MAX_NAME
        and name[0] != "-"
        and rest.isascii()
        and (rest.isalnum() or not rest)
    )


def _folders(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (p for p in path.iterdir() if p.is_dir() and _is_safe(p.name))


def _read_metadata(file: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(file.read_text("utf-8"))
        if not isinstance(metadata, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError) as error:
        raise ReadError(
            "The metadata of an index cannot be read", where=str(file), why=str(error)
        ) from error
    return metadata
