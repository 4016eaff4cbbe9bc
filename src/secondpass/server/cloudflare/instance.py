"""An instance: its settings, items, jobs and index, and its life cycle."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

from secondpass.errors import SecondpassError
from secondpass.index.index import Index
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.filters import Field, filterable_fields
from secondpass.server.cloudflare.indexing_queue import IndexingQueue
from secondpass.server.cloudflare.items import ItemLog, ItemStore
from secondpass.server.cloudflare.jobs import JobStore
from secondpass.server.cloudflare.namespaces import RECORD_KEY
from secondpass.server.cloudflare.responses import not_found, to_iso
from secondpass.server.cloudflare.schemas import InstanceSettings
from secondpass.server.index_catalog import ServedIndex

ENGINE_VERSION = 3


class Instance:
    """An index with uploaded files. Thread-safe.

    `write_lock` is held while the index is changed, and while the instance is deleted;
    `deleting` is true from when its deletion is requested.
    """

    def __init__(self, served_index: ServedIndex, namespace: str) -> None:
        self.served_index, self.namespace = served_index, namespace
        self.key = served_index.place
        self.name = self.key.name
        self.database = Database(served_index.folder)
        self.items = ItemStore(served_index.folder, self.database)
        self.queue, self.jobs = IndexingQueue(self.database), JobStore(self.database)
        self.item_log = ItemLog(self.database)
        self.write_lock = threading.Lock()
        self._lock = threading.Lock()
        self._deleted = self.deleting = False
        self._instance_uuid, self._changes = uuid.uuid4().hex, 0
        self._waiters: dict[str, list[Future[None]]] = {}

    @property
    def record(self) -> dict[str, Any]:
        """Its stored properties."""
        record: dict[str, Any] = self.served_index.about[RECORD_KEY]
        return record

    @property
    def settings(self) -> InstanceSettings:
        """Its settings, defaults included."""
        return cast(InstanceSettings, self.record["settings"])

    @property
    def fields(self) -> dict[str, Field]:
        """The metadata fields that filters can name."""
        return filterable_fields(self.settings["custom_metadata"])

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted."""
        return self._deleted

    @property
    def version(self) -> tuple[str, int]:
        """An identifier that changes when the results of a search might."""
        return self._instance_uuid, self._changes

    def index(self) -> Index:
        """Return the open index; raises HttpError (404) after the instance was deleted."""
        # Opening it after the deletion would create it again, empty.
        with self._lock:
            if self._deleted:
                raise not_found(f"instance {self.name!r}")
            return self.served_index.index

    @contextmanager
    def not_found_if_deleted(self) -> Iterator[None]:
        """Turn an error inside the block into a 404 if the instance was deleted meanwhile."""
        try:
            yield
        except SecondpassError:
            # Also a filter that is rejected because its index no longer exists.
            if self._deleted:
                raise not_found(f"instance {self.name!r}") from None
            raise

    def mark_deleted(self) -> None:
        """Reject every further use; the caller holds `write_lock`."""
        with self._lock:
            self._deleted = True
        self.close()

    def close(self) -> None:
        """Close the database and release the requests that wait for an item."""
        self.database.close()
        with self._lock:
            waiters, self._waiters = self._waiters, {}
        for futures in waiters.values():
            _resolve(futures)

    def mark_changed(self) -> None:
        """Record that the results of a search might have changed."""
        with self._lock:
            self._changes += 1

    def watch_item(self, item_id: str) -> Future[None]:
        """Return a future that is done when an item has a final status or never will."""
        future: Future[None] = Future()
        with self._lock:
            if self._deleted:
                future.set_result(None)
            else:
                self._waiters.setdefault(item_id, []).append(future)
        return future

    def notify_item(self, item_id: str) -> None:
        """Release the requests that wait for an item."""
        with self._lock:
            futures = self._waiters.pop(item_id, [])
        _resolve(futures)

    def save(self, record: dict[str, Any], index_options: dict[str, Any]) -> None:
        """Store the record and the chunking options of the index."""
        with self.not_found_if_deleted():
            self.served_index.save({"index": index_options, RECORD_KEY: record})
        self.mark_changed()

    def to_json(self) -> dict[str, Any]:
        """Return the instance as clients see it."""
        record, settings = self.record, self.settings
        counts = self.items.status_counts()
        is_indexing = counts.get("queued", 0) + counts.get("running", 0) > 0
        return {
            **settings,
            "id": self.name,
            "namespace": self.namespace,
            "created_at": to_iso(record["created_at"]),
            "modified_at": to_iso(record["modified_at"]),
            "created_by": record["created_by"],
            "modified_by": record["modified_by"],
            "status": (
                "paused" if settings["paused"] else "indexing" if is_indexing else "ready"
            ),
            "enable": True,
            "engine_version": ENGINE_VERSION,
            "last_activity": to_iso(self.items.totals().last_seen),
            "public_endpoint_id": record["public_endpoint_id"],
        }


def _resolve(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        # It is cancelled if the client that waited has disconnected.
        if future.set_running_or_notify_cancel():
            future.set_result(None)


def is_instance(served_index: ServedIndex) -> bool:
    """Return whether an index was created as an instance, and not by another dialect."""
    return isinstance(served_index.about.get(RECORD_KEY), dict)
