"""Which endpoints need no key, and whose they are.

How often a public endpoint may be asked.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.namespaces import NamespaceRegistry
from secondpass.server.cloudflare.responses import ErrorCode
from secondpass.server.cloudflare.schemas import PublicEndpoint, RateLimit
from secondpass.server.http_errors import HttpError

_NOT_FOUND = 60013


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of an instance, or of several of a namespace; `id` is its address."""

    id: str
    tenant: str
    namespace: str
    instances: tuple[str, ...]
    several: bool
    params: PublicEndpoint


class Endpoints:
    """The endpoints that were switched on; safe to use from several threads at once.

    Instances are looked through once; from then on those that change are noted.
    """

    def __init__(
        self, book: NamespaceRegistry, everywhere: Callable[[], Iterator[Instance]]
    ) -> None:
        self._book, self._everywhere = book, everywhere
        self._instances: dict[str, Instance] | None = None
        self._lock = threading.RLock()

    def note(self, instance: Instance) -> None:
        """Take note of an instance that was made or changed."""
        number = instance.record["public_endpoint_id"]
        with self._lock:
            if self._instances is not None and number is not None:
                self._instances[number] = instance

    def find(self, number: str) -> Endpoint:
        """Return the endpoint with this id; raises Problem (404)."""
        return _only([one for one in self._all() if one.id == number])

    def of_host(self, host: str) -> Endpoint:
        """Return the endpoint of a host: by its first label, by its own domains, or the only
        one that there is; raises Problem (404).
        """
        name = host.partition(":")[0].lower()
        everything = list(self._all())
        by_label = [one for one in everything if one.id == name.partition(".")[0]]
        by_domain = [
            one
            for one in everything
            if name in (domain.lower() for domain in one.params.get("custom_domains", []))
        ]
        return _only(by_label or by_domain or everything)

    def _all(self) -> Iterator[Endpoint]:
        for tenant in self._book.tenants():
            for record in self._book.listed(tenant):
                params = cast(PublicEndpoint, record["public_endpoint_params"] or {})
                number = record["public_endpoint_id"]
                if params.get("enabled", False) and number is not None:
                    allowed = tuple(params.get("instances_allowed", ()))
                    yield Endpoint(number, tenant, record["name"], allowed, True, params)
        for number, instance in self._known().items():
            params = instance.settings["public_endpoint_params"]
            if params.get("enabled", False):
                tenant, names = instance.collection.place.tenant, (instance.name,)
                yield Endpoint(number, tenant, instance.namespace, names, False, params)

    def _known(self) -> dict[str, Instance]:
        with self._lock:
            if self._instances is None:
                self._instances = {}
                for instance in self._everywhere():
                    self.note(instance)
            gone = [n for n, instance in self._instances.items() if instance.gone]
            for number in gone:
                del self._instances[number]
            return dict(self._instances)


def not_found() -> ErrorCode:
    """Return the same problem whatever is not there, so that nobody learns what is."""
    return ErrorCode(404, _NOT_FOUND, "ai_search_not_found")


def _only(found: list[Endpoint]) -> Endpoint:
    if len(found) != 1:
        raise not_found()
    return found[0]


_REQUESTS, _PERIOD = 120, 60_000


@dataclass(slots=True)
class _Window:
    start: float = 0.0
    count: int = 0
    moments: deque[float] = field(default_factory=deque)


class Rates:
    """Requests a period, for each endpoint apart; `clock` is in seconds. Thread-safe.

    A fixed period begins with its first request; a sliding one ends at every moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str, limit: RateLimit) -> None:
        """Count a request; raises Problem 429, with when to come back, for one too many."""
        most = limit.get("requests", _REQUESTS)
        period = limit.get("period_ms", _PERIOD) / 1000
        sliding = limit.get("technique") == "sliding"
        with self._lock:
            now, window = self._clock(), self._windows.setdefault(endpoint, _Window())
            wait = self._slid(window, now, most, period) if sliding else None
            wait = wait if sliding else self._fixed(window, now, most, period)
        if wait is not None:
            raise HttpError(429, "rate", "too many requests", retry_after=wait)

    def _fixed(self, window: _Window, now: float, most: int, period: float) -> float | None:
        if not window.count or now >= window.start + period:
            window.start, window.count = now, 0
        if window.count >= most:
            return window.start + period - now
        window.count += 1
        return None

    def _slid(self, window: _Window, now: float, most: int, period: float) -> float | None:
        while window.moments and window.moments[0] <= now - period:
            window.moments.popleft()
        if len(window.moments) >= most:
            return window.moments[0] + period - now
        window.moments.append(now)
        return None
