"""Moments in milliseconds since 1970, and how they are written."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> int:
    """Return this moment."""
    return time.time_ns() // 1_000_000


def iso(moment: int | None) -> str | None:
    """Return a moment as in "2026-01-31T12:00:00.000Z"."""
    if moment is None:
        return None
    found = datetime.fromtimestamp(moment / 1000, UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> int | None:
    """Return the moment that a text names, in UTC where it names no zone, or None."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    try:
        return round(found.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
