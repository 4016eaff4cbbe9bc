"""Two runs over the same queries: the difference in one measure."""

from __future__ import annotations

from dataclasses import dataclass

from secondpass.evaluate.collection import Collection
from secondpass.evaluate.effect import Effect, effect
from secondpass.evaluate.measures import per_query
from secondpass.evaluate.run import Run

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a run differs from an earlier one; `now` and `before` are means of the measure."""

    measure: str
    before: float
    now: float
    effect: Effect
    alpha: float

    @property
    def fell(self) -> bool:
        """Whether the measure fell and chance hardly explains it."""
        return self.effect.mean < 0 and self.effect.p < self.alpha


def compare(
    run: Run,
    against: Run,
    collection: Collection,
    *,
    measure: str = "nDCG@10",
    alpha: float = ALPHA,
) -> Comparison:
    """Compare a run with an earlier one, query by query.

    `fell` is True where the mean is lower and Fisher's randomisation test (two-sided) has
    p below `alpha`, 0 to 1. A query that a run lacks counts as 0.
    """
    now = per_query(run, collection.qrels, [measure])[measure]
    before = per_query(against, collection.qrels, [measure])[measure]
    return Comparison(
        measure, float(before.mean()), float(now.mean()), effect(now - before), alpha
    )
