"""A server whose model is held, and requests sent to it from threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2

from secondpass.server.access.api_keys import TENANT
from secondpass.server.scheduler.queue import Part
from tests.server.conftest import QUERY, TEXTS, Running

ASK = {"query": QUERY, "documents": TEXTS}


@contextmanager
def busy(found: Running) -> Iterator[Callable[[], None]]:
    """Hold the model, for the default tenant; yields what lets it go."""
    begun, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        let_go.wait(20)

    found.state.queue.submit([Part(1, hold)], time.monotonic() + 1, TENANT)
    assert begun.wait(5)
    try:
        yield let_go.set
    finally:
        let_go.set()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def sending(url: str) -> Iterator[Callable[..., Future[httpx2.Response]]]:
    with ThreadPoolExecutor() as threads, httpx2.Client(base_url=url, timeout=20) as http:

        def send(
            path: str = "/v1/rerank", body: Any = ASK, **more: Any
        ) -> Future[httpx2.Response]:
            return threads.submit(http.post, path, json=body, **more)

        yield send
