"""Rate limits of public endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from secondpass.server.cloudflare.public_access import EndpointRateLimits
from secondpass.server.http_errors import HttpError


@pytest.mark.parametrize("technique", ["fixed", "sliding"])
def test_rate_limits(technique: Any) -> None:
    now = 0.0
    rates = EndpointRateLimits(lambda: now)
    limit: Any = {"requests": 2, "period_ms": 10_000, "technique": technique}
    rates.take("e", limit)
    now = 9.0
    rates.take("e", limit)
    with pytest.raises(HttpError) as caught:
        rates.take("e", limit)
    assert caught.value.retry_after == pytest.approx(1.0)
    rates.take("other", limit)
    now = 10.0
    rates.take("e", limit)
    if technique == "sliding":
        with pytest.raises(HttpError):
            rates.take("e", limit)
    else:
        rates.take("e", limit)
