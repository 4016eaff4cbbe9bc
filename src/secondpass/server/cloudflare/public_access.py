"""Public endpoints, which need no API key, and their rate limits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.namespaces import NamespaceRegistry
from secondpass.server.cloudflare.responses import CodedError, NotRetryableError
from secondpass.server.cloudflare.schemas import PublicEndpointSettings, RateLimit
from secondpass.server.http_errors import HttpError

_NOT_FOUND = 60013


@dataclass(frozen=True, slots=True)
class PublicEndpoint:
    """A public endpoint of one instance, or of several of a namespace."""

    id: str
    tenant: str
    namespace: str
    instances: tuple[str, ...]
    several: bool
    settings: PublicEndpointSettings


class PublicEndpoints:
    """The enabled public endpoints. Thread-safe.

    `all_instances` is called once; later changes come through `update`. `changes` is held by
    who changes an endpoint, from the check of its settings until they are stored.
    """

    def __init__(
        self, namespaces: NamespaceRegistry, all_instances: Callable[[], Iterator[Instance]]
    ) -> None:
        self._namespaces, self._all_instances = namespaces, all_instances
        self._instances: dict[str, Instance] | None = None
        self._lock = threading.RLock()
        self.changes = threading.RLock()

    def check_domains(self, settings: PublicEndpointSettings, endpoint_id: str | None) -> None:
        """Raise HttpError (409) for a domain that another endpoint has.

        With one domain for two endpoints, neither could be found by it. Call it, and store the
        settings, while holding `changes`.
        """
        if not settings.get("enabled", False):
            return
        for endpoint in self._enabled():
            taken = _domains(settings) & _domains(endpoint.settings)
            if taken and endpoint.id != endpoint_id:
                raise NotRetryableError(
                    409,
                    "exists",
                    f"custom_domains: {min(taken)!r} is the domain of another public endpoint",
                )

    def update(self, instance: Instance) -> None:
        """Register the endpoint of an instance that was created or changed."""
        endpoint_id = instance.record["public_endpoint_id"]
        with self._lock:
            if self._instances is not None and endpoint_id is not None:
                self._instances[endpoint_id] = instance

    def find(self, endpoint_id: str) -> PublicEndpoint:
        """Return the endpoint with this id; raises HttpError (404)."""
        return _only([endpoint for endpoint in self._enabled() if endpoint.id == endpoint_id])

    def find_by_host(self, host: str) -> PublicEndpoint:
        """Return the endpoint of a Host header; raises HttpError (404).

        By its first label, by its custom domains, or the only endpoint that is enabled.
        """
        name = host.partition(":")[0].lower()
        enabled = list(self._enabled())
        by_label = [endpoint for endpoint in enabled if endpoint.id == name.partition(".")[0]]
        by_domain = [e for e in enabled if name in _domains(e.settings)]
        return _only(by_label or by_domain or enabled)

    def _enabled(self) -> Iterator[PublicEndpoint]:
        for tenant in self._namespaces.tenants():
            for record in self._namespaces.list_namespaces(tenant):
                settings = cast(PublicEndpointSettings, record["public_endpoint_params"] or {})
                endpoint_id = record["public_endpoint_id"]
                if settings.get("enabled", False) and endpoint_id is not None:
                    allowed = tuple(settings.get("instances_allowed", ()))
                    yield PublicEndpoint(
                        endpoint_id, tenant, record["name"], allowed, True, settings
                    )
        for endpoint_id, instance in self._known_instances().items():
            settings = instance.settings["public_endpoint_params"]
            if settings.get("enabled", False):
                tenant, names = instance.key.tenant, (instance.name,)
                yield PublicEndpoint(
                    endpoint_id, tenant, instance.namespace, names, False, settings
                )

    def _known_instances(self) -> dict[str, Instance]:
        with self._lock:
            if self._instances is None:
                self._instances = {}
                for instance in self._all_instances():
                    self.update(instance)
            deleted = [i for i, instance in self._instances.items() if instance.is_deleted]
            for endpoint_id in deleted:
                del self._instances[endpoint_id]
            return dict(self._instances)


def endpoint_not_found() -> CodedError:
    """Return the 404 error, the same whatever is missing, so that nothing can be probed."""
    return CodedError(404, _NOT_FOUND, "ai_search_not_found")


def _domains(settings: PublicEndpointSettings) -> set[str]:
    return {domain.lower() for domain in settings.get("custom_domains", [])}


def _only(endpoints: list[PublicEndpoint]) -> PublicEndpoint:
    if len(endpoints) != 1:
        raise endpoint_not_found()
    return endpoints[0]


_DEFAULT_REQUESTS, _DEFAULT_PERIOD_MS = 120, 60_000


@dataclass(slots=True)
class _Window:
    """Request times of one endpoint, in seconds."""

    start: float = 0.0
    count: int = 0
    times: deque[float] = field(default_factory=deque)


class EndpointRateLimits:
    """Counts requests per period for each endpoint; `clock` is in seconds. Thread-safe.

    A fixed window begins with its first request; a sliding one ends now.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def take(self, endpoint_id: str, limit: RateLimit) -> None:
        """Count a request; raises HttpError (429) with `retry_after` beyond the limit."""
        maximum = limit.get("requests", _DEFAULT_REQUESTS)
        period = limit.get("period_ms", _DEFAULT_PERIOD_MS) / 1000
        take = _take_sliding if limit.get("technique") == "sliding" else _take_fixed
        with self._lock:
            window = self._windows.setdefault(endpoint_id, _Window())
            wait = take(window, self._clock(), maximum, period)
        if wait is not None:
            raise HttpError(429, "rate", "too many requests", retry_after=wait)


def _take_fixed(window: _Window, now: float, maximum: int, period: float) -> float | None:
    """Count a request, or return the seconds to wait."""
    if not window.count or now >= window.start + period:
        window.start, window.count = now, 0
    if window.count >= maximum:
        return window.start + period - now
    window.count += 1
    return None


def _take_sliding(window: _Window, now: float, maximum: int, period: float) -> float | None:
    """Count a request, or return the seconds to wait."""
    while window.times and window.times[0] <= now - period:
        window.times.popleft()
    if len(window.times) >= maximum:
        return window.times[0] + period - now
    window.times.append(now)
    return None
