"""Fields of a search result that several dialects send: score, web address, metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from secondpass.inference.tokenizer import clean
from secondpass.types import RankedDocument, ScoreKind


def relevance_score(result: RankedDocument) -> float:
    """Return a result's probability, or else its score, with a logit mapped to 0..1."""
    if result.probability is not None:
        return result.probability
    if result.score_kind is ScoreKind.LOGIT:
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, result.score))))
    return result.score


_ADDRESSES = ("url", "source_url", "sourceUrl", "link", "source")


def source_url(metadata: Mapping[str, Any]) -> str | None:
    """Return the web address that a document's metadata has, if it has one."""
    for name in _ADDRESSES:
        value = metadata.get(name)
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            return clean(value)
    return None


def json_value(value: Any) -> Any:
    """Return metadata as JSON has it: dates as ISO 8601, numbers that are none as null."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {clean(str(name)): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    return clean(str(value))
