"""Documents with certain values in a field stand higher, or lower."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.score_transform import ScoreTransform, added
from secondpass.rerank.scoring_options import field_text
from secondpass.types import Candidate


class Boost(ScoreTransform):
    """Adds `values[field's value]` deviations to the score; others get nothing.

    Values of the field are compared as text, so `{"2024": 0.5}` fits the number 2024; each
    value of a list counts. Negative numbers push down. `ScoreKind.RANK`; with no boosted
    document among the candidates the scores are passed through. Raises `InputError` for
    numbers that are not finite.
    """

    def __init__(self, reranker: BaseReranker, field: str, values: Mapping[str, float]) -> None:
        super().__init__(reranker)
        for name, value in values.items():
            if isinstance(value, bool) or not math.isfinite(value):
                raise InputError(f"The boost of {name!r} must be a number, not {value!r}")
        self.field, self.values = field, dict(values)

    def _changed(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        more = [self._boost(c) for c in candidates]
        return added(scored, "boost", more) if any(more) else scored

    def _boost(self, candidate: Candidate) -> float:
        found = candidate.document.metadata.get(self.field)
        if isinstance(found, list | tuple | set | frozenset):
            return math.fsum(
                self.values.get(str(v), 0.0) for v in dict.fromkeys(map(str, found))
            )
        text = field_text(candidate.document, self.field)
        return 0.0 if text is None else self.values.get(text, 0.0)
