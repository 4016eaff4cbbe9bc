"""Higher or lower scores for documents with certain values in a field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.score_transform import ScoreTransform, add_to_scores
from secondpass.rerank.scoring_options import field_text
from secondpass.types import Candidate


class Boost(ScoreTransform):
    """Adds a number to the score of documents by the value of a metadata field.

    - `field`: the name of the field. Its value is compared as text, so `{"2024": 0.5}` matches
      the number 2024; of a list, each value counts.
    - `values`: what is added for each value of the field, in standard deviations of the scores
      of one query; negative numbers push down. Documents with other values get 0.

    The scores are standardized first, so they order one response only (`ScoreKind.RANK`); with
    no boosted document among the candidates they are passed through. Raises `InputError` for
    numbers that are not finite.
    """

    def __init__(self, reranker: BaseReranker, field: str, values: Mapping[str, float]) -> None:
        super().__init__(reranker)
        for name, value in values.items():
            if isinstance(value, bool) or not math.isfinite(value):
                raise InputError(f"The boost of {name!r} must be a finite number: {value!r}")
        self.field, self.values = field, dict(values)

    def _transform(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        boosts = [self._boost(c) for c in candidates]
        return add_to_scores(scored, "boost", boosts) if any(boosts) else scored

    def _boost(self, candidate: Candidate) -> float:
        value = candidate.document.metadata.get(self.field)
        if isinstance(value, list | tuple | set | frozenset):
            return math.fsum(
                self.values.get(str(v), 0.0) for v in dict.fromkeys(map(str, value))
            )
        text = field_text(candidate.document, self.field)
        return 0.0 if text is None else self.values.get(text, 0.0)
