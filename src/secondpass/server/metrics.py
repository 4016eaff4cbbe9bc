"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from secondpass.server.service import RerankService

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Requests by dialect and status, their seconds and documents, and what waits."""

    def __init__(self, service: RerankService) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "secondpass_requests",
            "Requests that were answered.",
            ["dialect", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "secondpass_request_seconds",
            "From the last byte of a request to the first of its answer.",
            ["dialect"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._documents = Counter(
            "secondpass_documents", "Documents that were reranked.", registry=self.registry
        )
        waiting = Gauge(
            "secondpass_waiting_tokens", "Tokens that wait, about.", registry=self.registry
        )
        waiting.set_function(lambda: service.queue.waiting)
        at_once = Gauge(
            "secondpass_requests_at_once", "Requests under way.", registry=self.registry
        )
        at_once.set_function(lambda: service.at_once)

    def count(self, dialect: str, status: int, seconds: float, documents: int) -> None:
        """Count one request."""
        self._requests.labels(dialect, str(status)).inc()
        self._seconds.labels(dialect).observe(seconds)
        self._documents.inc(documents)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
