"""What all tests share: property tests fail for what they find, never for a busy machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Hypothesis has a profile of its own for CI; what that sets besides, stays.
settings.register_profile(
    "secondpass", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("secondpass")
