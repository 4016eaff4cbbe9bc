"""Newer documents stand higher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.score_transform import ScoreTransform, added
from secondpass.types import Candidate


class Recency(ScoreTransform):
    """Adds `weight` deviations for a document of now, half of it after each `half_life`.

    The `field` of the metadata holds a date, a datetime (UTC if it has no zone) or a text in
    ISO 8601; a document without one that can be read gets nothing, one of the future as
    much as one of now. `now` is the moment to count from, that of the search by default.
    `ScoreKind.RANK`; with no date among the candidates the scores are passed through.
    Raises `InputError` for a half-life that is not above 0 or a weight that is negative.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        field: str,
        *,
        half_life: timedelta = timedelta(days=365),
        weight: float = 0.5,
        now: datetime | None = None,
    ) -> None:
        super().__init__(reranker)
        if half_life <= timedelta(0):
            raise InputError(f"half_life must be above 0, not {half_life}")
        if isinstance(weight, bool) or not math.isfinite(weight) or weight < 0:
            raise InputError(f"weight must be a number from 0 up, not {weight!r}")
        self.field, self.half_life, self.weight, self.now = field, half_life, weight, now

    def _changed(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        now = datetime.now(UTC) if self.now is None else _moment(self.now)
        assert now is not None
        moments = [_moment(c.document.metadata.get(self.field)) for c in candidates]
        if not self.weight or all(moment is None for moment in moments):
            return scored
        more = [
            0.0
            if m is None
            else self.weight * 0.5 ** (max(timedelta(0), now - m) / self.half_life)
            for m in moments
        ]
        return added(scored, "recency", more)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None
