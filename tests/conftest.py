"""What all tests share: property tests fail for what they find, never for a busy machine."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis has a profile of its own for CI; what that sets besides, stays.
settings.register_profile(
    "secondpass", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("secondpass")

# Every server is on this machine and without TLS. Each client of HTTP reads the certificates
# that it trusts all the same, which takes 20 ms where they are all those of the internet.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("no_authority.pem"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without the garbage collector, which then leaves alone what is there.

    A million objects of modules and tests live to the end: to walk through them again and again
    takes a quarter of the time of collecting, and a second for each `gc.collect()` of a test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
