from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback.server import Loopback, running


@pytest.fixture(scope="session")
def started() -> Iterator[Loopback]:
    with running() as server:
        yield server


@pytest.fixture
def server(started: Loopback) -> Iterator[Loopback]:
    """The server without faults and memories of other tests."""
    started.reset()
    started.tei_batch = 32
    yield started
    started.released.set()
