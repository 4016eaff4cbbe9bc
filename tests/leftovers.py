"""What other people's clients leave open is closed while their warnings are still allowed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    yield
    gc.collect()
