"""Garbage collection after a module with third-party clients, whose warnings are allowed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def swept() -> Iterator[None]:
    yield
    gc.collect()
