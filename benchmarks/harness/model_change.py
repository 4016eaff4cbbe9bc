"""The change of nDCG@10 from one model to another on the same questions, with its error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.targets import Target
from secondpass.evaluate.score_matrix import CUTOFF, FloatArray

ONE_SIDED = 1.645
"""Standard errors below the mean that 95 % of normal values are above."""


@dataclass(frozen=True)
class Change:
    """nDCG@10 of both models on each question of one collection, [questions].

    `top_overlap` is the share of the first model's top 10 that is in the other's too.
    """

    name: str
    baseline: FloatArray
    changed: FloatArray
    top_overlap: float

    @property
    def mean(self) -> float:
        """The mean gain of the second model."""
        return float((self.changed - self.baseline).mean())

    @property
    def error(self) -> float:
        """The standard error of `mean` over questions; nan for a single one."""
        count = len(self.baseline)
        if count < 2:
            return math.nan
        return float((self.changed - self.baseline).std(ddof=1)) / math.sqrt(count)


Ranked = Mapping[str, Sequence[str]]
"""By question, the ids best first."""


def top_10_overlap(baseline: Ranked, changed: Ranked) -> float:
    """Return the mean share of the top 10 in common, over questions with candidates."""
    shares = [
        len(set(ids[:CUTOFF]) & set(changed[query][:CUTOFF])) / min(CUTOFF, len(ids))
        for query, ids in baseline.items()
        if ids
    ]
    return float(np.mean(shares)) if shares else math.nan


def mean_change(changes: Sequence[Change]) -> tuple[float, float]:
    """Return the mean over collections and its standard error.

    The collections are fixed; only their questions count as a random sample.
    """
    errors = [change.error for change in changes]
    return float(np.mean([c.mean for c in changes])), math.hypot(*errors) / len(changes)


def changes_table(measured: Iterable[Change], names: Sequence[str]) -> Iterator[str]:
    """Yield a row for each collection as it comes, and the mean of several."""
    yield f"| collection | questions | {' | '.join(names)} | change ± standard error | top 10 |"
    yield "|---|---|---|---|---|---|"
    changes = []
    for c in measured:
        changes.append(c)
        cells = [
            c.name,
            str(len(c.baseline)),
            f"{c.baseline.mean():.4f}",
            f"{c.changed.mean():.4f}",
        ]
        yield _row([*cells, f"{c.mean:+.4f} ± {c.error:.4f}", f"{c.top_overlap:.3f}"])
    if len(changes) > 1:
        mean, error = mean_change(changes)
        cells = [f"**mean of {len(changes)}**", str(sum(len(c.baseline) for c in changes))]
        both = [c.baseline for c in changes], [c.changed for c in changes]
        cells += [f"{np.mean([v.mean() for v in values]):.4f}" for values in both]
        top_overlap = float(np.mean([c.top_overlap for c in changes]))
        yield _row([*cells, f"{mean:+.4f} ± {error:.4f}", f"{top_overlap:.3f}"])


def loss_target(changes: Sequence[Change], max_loss: float) -> Target:
    """Return whether the mean over collections falls by no more than `max_loss`."""
    mean, error = mean_change(changes)
    return Target(
        f"the mean changes by {mean:+.4f}, loses at most {max_loss};"
        f" at 95 % it is no worse than {mean - ONE_SIDED * error:+.4f}",
        mean >= -max_loss,
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
