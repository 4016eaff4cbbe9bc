"""How much a server stores, for Prometheus."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from secondpass.server.access.api_keys import TENANT
from secondpass.server.state import RerankService

_KEPT_SECONDS = 60.0


class Inventory(Collector):
    """Documents and bytes of the indexes that the server was started with, and of all others.

    Those that clients make are told together: there may be any number of them. Folders are
    walked at most once a minute. `clock` is in seconds.
    """

    def __init__(
        self, service: RerankService, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service, self._clock = service, clock
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """Return the gauges."""
        with self._lock:
            if self._at is None or self._clock() - self._at > _KEPT_SECONDS:
                self._found, self._at = list(self._counted()), self._clock()
            return self._found

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are not known before they are asked for."""
        return []

    def _counted(self) -> Iterable[Metric]:
        settings = self._service.settings
        if not self._service.ready or not (settings.indexes or settings.data):
            return
        collections = self._service.collections
        documents = _gauge("index_documents", "Documents of an index.", "index")
        size = _gauge("index_bytes", "Size of an index on disk.", "index")
        for name, path in settings.indexes.items():
            try:
                documents.add_metric([name], collections.find(TENANT, name).index.count())
            except Exception:  # noqa: BLE001 - one that cannot be read must not hide the rest
                continue
            size.add_metric([name], _bytes(path))
        yield documents
        yield size
        if settings.data is not None and settings.data.is_dir():
            there, free = collections.stored(), shutil.disk_usage(settings.data).free
            yield _gauge("data_indexes", "Indexes that clients made.", value=there)
            yield _gauge("data_bytes", "Size of --data on disk.", value=_bytes(settings.data))
            yield _gauge("data_free_bytes", "What is free on the disk of --data.", value=free)


def _gauge(
    name: str, about: str, *labels: str, value: float | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"secondpass_{name}", about, value, labels or None)


def _bytes(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(where, name)).st_size
            except FileNotFoundError:
                # Replaced by a newer one since it was listed.
                continue
    return total
