"""Higher scores for newer documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from secondpass.boost_rules import parse_moment
from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.score_transform import ScoreTransform, add_to_scores
from secondpass.rerank.score import Scored
from secondpass.types import Candidate


class Recency(ScoreTransform):
    """Adds a number to the score of each document that halves with its age.

    - `field`: the metadata field with a date, a datetime (UTC if it has no time zone) or an
      ISO 8601 text. A document without a valid one gets 0; one from the future as much as one
      of now.
    - `half_life`: the age at which half of `weight` is added, above 0.
    - `weight`: what is added at age 0, in standard deviations of the scores of one query, 0 or
      more.
    - `now`: the moment from which the age is counted; by default that of the search.

    The scores are standardized first, so they order one response only (`ScoreKind.RANK`); with
    no date among the candidates they are passed through. Raises `InputError` for numbers
    outside these ranges.
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
            raise InputError(f"weight must be a number of 0 or more, not {weight!r}")
        self.field, self.half_life, self.weight, self.now = field, half_life, weight, now

    def _transform(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        now = datetime.now(UTC) if self.now is None else parse_moment(self.now)
        assert now is not None
        moments = [parse_moment(c.document.metadata.get(self.field)) for c in candidates]
        if not self.weight or all(moment is None for moment in moments):
            return scored
        boosts = [
            0.0
            if m is None
            else self.weight * 0.5 ** (max(timedelta(0), now - m) / self.half_life)
            for m in moments
        ]
        return add_to_scores(scored, {"recency": boosts})
