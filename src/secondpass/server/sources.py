"""What clients are told of a passage besides its text: its address and its metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from secondpass.inference.unicode import clean

_ADDRESSES = ("url", "source_url", "sourceUrl", "link", "source")


def source_url(metadata: Mapping[str, Any]) -> str | None:
    """Return the web address that a document's metadata has, if it has one."""
    for name in _ADDRESSES:
        value = metadata.get(name)
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            return clean(value)
    return None


def as_json(value: Any) -> Any:
    """Return metadata as JSON has it: dates as ISO 8601, numbers that are none as null."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {clean(str(name)): as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return clean(str(value))
