"""Prometheus metrics: requests, the queue, the model, and what the indexes store."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import secondpass
from secondpass.server.access.api_keys import TENANT
from secondpass.server.request_context import RequestRecord
from secondpass.server.scheduler.queue import Batch
from secondpass.server.state import ServerState

_CACHE_SECONDS = 60.0


class StorageCollector(Collector):
    """Documents and bytes of the indexes that the server was started with, and of all others.

    Indexes that clients create are summed up, as there may be any number of them. Folders are
    walked at most once a minute. `clock` is in seconds.
    """

    def __init__(self, state: ServerState, clock: Callable[[], float] = time.monotonic) -> None:
        self._state, self._clock = state, clock
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._collected_at: float | None = None

    def collect(self) -> Iterable[Metric]:
        """Return the gauges."""
        with self._lock:
            now, last = self._clock(), self._collected_at
            if last is None or now - last > _CACHE_SECONDS:
                self._metrics, self._collected_at = list(self._collect()), now
            return self._metrics

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names of indexes are not known before they are collected."""
        return []

    def _collect(self) -> Iterable[Metric]:
        settings = self._state.settings
        if not self._state.ready or not (settings.indexes or settings.data):
            return
        catalog = self._state.catalog
        documents = _gauge("index_documents", "Documents of an index.", "index")
        size = _gauge("index_bytes", "Size of an index on disk.", "index")
        unindexed = _gauge(
            "index_unindexed_rows", "Rows that a text index lacks: searches scan them.", "index"
        )
        for name, place in settings.indexes.items():
            try:
                index = catalog.find(TENANT, name).index
                documents.add_metric([name], index.count())
                unindexed.add_metric([name], index.count_unindexed())
            except Exception:  # noqa: BLE001 - one that cannot be read must not hide others
                continue
            # Of one in object storage, what this server has on its disk.
            size.add_metric([name], _bytes(place if isinstance(place, Path) else index.folder))
        yield documents
        yield size
        yield unindexed
        if settings.data is not None and settings.data.is_dir():
            stored, free = catalog.count_created(), shutil.disk_usage(settings.data).free
            yield _gauge("data_indexes", "Indexes that clients made.", value=stored)
            yield _gauge("data_bytes", "Size of --data on disk.", value=_bytes(settings.data))
            yield _gauge("data_free_bytes", "What is free on the disk of --data.", value=free)


class RemoteIndexCollector(Collector):
    """The versions and the leases of the indexes in object storage; it asks no storage."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """Return the gauges and counters; without such indexes there are none."""
        stores = self._state.remote_indexes
        if not stores:
            return
        version = _gauge("index_version", "The version that is searched.", "index")
        current = _gauge("index_current_version", "The newest version that was seen.", "index")
        lag = _gauge(
            "index_lag_seconds",
            "How long a newer version than the one that is searched is known; 0 for none.",
            "index",
        )
        held = _gauge("index_lease_held", "1 while this server may write.", "index")
        lost = _counter(
            "index_leases_lost", "Leases that another process took from this one.", "index"
        )
        failures = _counter(
            "index_follow_failures", "Looks for a newer version that failed.", "index"
        )
        for name, store in stores.items():
            newest, seconds = store.remote.lag()
            version.add_metric([name], store.version)
            current.add_metric([name], newest)
            lag.add_metric([name], seconds)
            held.add_metric([name], store.remote.lease.held)
            lost.add_metric([name], store.remote.lease.lost)
            failures.add_metric([name], store.follow_failures)
        yield from (version, current, lag, held, lost, failures)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: whether there are such indexes is not known before they are open."""
        return []


class ScoreCacheCollector(Collector):
    """Pairs that were looked up in the score caches of the server, and what failed there."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """Return the counters; without caches there are none."""
        caches = self._state.cache_stats()
        if not caches:
            return
        pairs = CounterMetricFamily(
            "secondpass_score_cache_pairs",
            "Pairs by where their score was: in memory, shared (a file or Redis) or nowhere.",
            labels=["model", "found"],
        )
        failures = CounterMetricFamily(
            "secondpass_score_cache_failures",
            "Reads and writes of the shared score cache that failed.",
            labels=["model"],
        )
        for model, stats in caches.items():
            pairs.add_metric([model, "memory"], stats.memory_hits)
            pairs.add_metric([model, "shared"], stats.file_hits)
            pairs.add_metric([model, "nowhere"], stats.misses)
            failures.add_metric([model], stats.failures)
        yield pairs
        yield failures

    def describe(self) -> Iterable[Metric]:
        """Return nothing: whether there are caches is not known before models are loaded."""
        return []


def _gauge(
    name: str, help_text: str, *labels: str, value: float | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"secondpass_{name}", help_text, value, labels or None)


def _counter(name: str, help_text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"secondpass_{name}", help_text, labels=labels)


def _bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent, name)).st_size
            except FileNotFoundError:
                # Replaced by a newer file since it was listed.
                continue
    return total


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_JOBS = (1, 2, 4, 8, 16, 32)
# Each key is a time series of its own; beyond this many they share one.
_MAX_KEYS = 100
_OTHER_KEYS = "other"


class Metrics:
    """The metrics of a server.

    Values of labels come from the code (dialects, statuses, reasons, stages) or from the
    operator (models, indexes, and at most 100 ids of keys), never from a request.
    """

    def __init__(self, state: ServerState) -> None:
        self.registry = CollectorRegistry()
        self._keys: set[str] = set()
        self._lock = threading.Lock()
        self._requests = self._counter(
            "requests", "Requests that were answered.", "dialect", "status"
        )
        self._seconds = self._histogram(
            "request_duration_seconds",
            "Until the first byte of the answer.",
            _SECONDS,
            "dialect",
        )
        self._refused = self._counter(
            "requests_refused", "Requests that got no answer, by why.", "reason"
        )
        self._limited = self._counter(
            "rate_limited", "Requests beyond what a key may ask a minute, by its id.", "key"
        )
        self._documents = self._counter("documents", "Documents that were reranked.")
        self._stages = self._histogram(
            "stage_duration_seconds", "Of a stage, its waiting included.", _SECONDS, "stage"
        )
        self._waited = self._histogram(
            "queue_wait_seconds", "Until the first part of a request's work begins.", _SECONDS
        )
        self._batch_tokens = self._histogram(
            "batch_tokens", "Tokens that the model reads at once, about.", _TOKENS
        )
        self._batch_jobs = self._histogram(
            "batch_requests", "Requests that share a batch.", _JOBS
        )
        self._busy = self._counter("model_busy_seconds", "Time in which the model works.")
        self._gauges(state)
        state.queue.on_batch = self.count_batch
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(StorageCollector(state))
        self.registry.register(RemoteIndexCollector(state))
        self.registry.register(ScoreCacheCollector(state))
        if state.elsewhere is not None:
            self.registry.register(state.elsewhere.metrics)

    def count(self, record: RequestRecord) -> None:
        """Count a request whose response was sent."""
        context = record.context
        dialect = "none" if context is None else context.dialect
        self._requests.labels(dialect, str(record.status)).inc()
        if record.first_byte is not None:
            trace = None if record.trace is None else {"trace_id": record.trace}
            self._seconds.labels(dialect).observe(record.first_byte, trace)
        if context is not None and record.status < 400:
            self._documents.inc(context.documents)
        if record.problem is not None:
            self._refused.labels(record.problem.replace(" ", "_")).inc()
            if record.problem == "rate" and record.caller is not None:
                self._limited.labels(self._key(record.caller.id)).inc()

    def stage(self, name: str, seconds: float) -> None:
        """Count a stage of a search: "queue", "first_pass" or "rerank"."""
        if name == "queue":
            self._waited.observe(seconds)
        else:
            self._stages.labels(name).observe(seconds)

    def count_batch(self, batch: Batch) -> None:
        """Count a batch that the model has finished."""
        self._batch_tokens.observe(batch.work)
        self._batch_jobs.observe(batch.jobs)
        self._busy.inc(batch.seconds)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in a format that the header Accept names, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _gauges(self, state: ServerState) -> None:
        queue = state.queue
        info = Info("secondpass_build", "The version that runs.", registry=self.registry)
        info.info({"version": secondpass.__version__})
        self._gauge("ready", "1 while requests are taken.", lambda: float(state.ready))
        self._gauge("queue_waiting_tokens", "Tokens that wait, about.", lambda: queue.waiting)
        self._gauge(
            "queue_waiting_tokens_limit",
            "Tokens that may wait for one tenant; beyond it its requests are refused.",
            lambda: queue.max_work,
        )
        self._gauge(
            "requests_in_progress",
            "Requests that hold a thread.",
            lambda: state.active_requests,
        )
        models = Gauge(
            "secondpass_model_ready",
            "1 for a model that is loaded and was used once.",
            ["model"],
            registry=self.registry,
        )
        for name in state.models:
            models.labels(name).set_function(partial(state.loaded, name))

    def _gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        Gauge(f"secondpass_{name}", help_text, registry=self.registry).set_function(value)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"secondpass_{name}", help_text, labels, registry=self.registry)

    def _histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"secondpass_{name}", help_text, labels, buckets=buckets, registry=self.registry
        )

    def _key(self, key_id: str) -> str:
        with self._lock:
            if len(self._keys) < _MAX_KEYS:
                self._keys.add(key_id)
            return key_id if key_id in self._keys else _OTHER_KEYS
