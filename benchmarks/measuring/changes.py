"""What a second model changes on the same questions, beside what chance may do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from measuring.bars import Bar
from secondpass.evaluate.score_matrix import CUTOFF, FloatArray

ONE_SIDED = 1.645
"""Standard errors below the mean that 95 in 100 normal values are above."""


@dataclass(frozen=True)
class Change:
    """One collection: nDCG@10 of both models on each question, [questions].

    `kept` is the share of the first model's top 10 that the other has there too.
    """

    name: str
    one: FloatArray
    other: FloatArray
    kept: float

    @property
    def mean(self) -> float:
        """By how much the other model is better."""
        return float((self.other - self.one).mean())

    @property
    def error(self) -> float:
        """The standard error of `mean` over questions; nan for a single one."""
        count = len(self.one)
        if count < 2:
            return math.nan
        return float((self.other - self.one).std(ddof=1)) / math.sqrt(count)


Ranked = Mapping[str, Sequence[str]]
"""By question, the ids best first."""


def shared(one: Ranked, other: Ranked) -> float:
    """Return the mean share of the top 10 in common, of questions that have candidates."""
    shares = [
        len(set(ids[:CUTOFF]) & set(other[query][:CUTOFF])) / min(CUTOFF, len(ids))
        for query, ids in one.items()
        if ids
    ]
    return float(np.mean(shares)) if shares else math.nan


def overall(changes: Sequence[Change]) -> tuple[float, float]:
    """Return the mean over collections and its standard error.

    The collections are those that they are; only their questions are drawn by chance.
    """
    errors = [change.error for change in changes]
    return float(np.mean([c.mean for c in changes])), math.hypot(*errors) / len(changes)


def changes_table(measured: Iterable[Change], names: Sequence[str]) -> Iterator[str]:
    """Yield a row a collection as soon as it is there, and the mean of several."""
    yield f"| collection | questions | {' | '.join(names)} | change ± standard error | top 10 |"
    yield "|---|---|---|---|---|---|"
    changes = []
    for c in measured:
        changes.append(c)
        cells = [c.name, str(len(c.one)), f"{c.one.mean():.4f}", f"{c.other.mean():.4f}"]
        yield _row([*cells, f"{c.mean:+.4f} ± {c.error:.4f}", f"{c.kept:.3f}"])
    if len(changes) > 1:
        mean, error = overall(changes)
        cells = [f"**mean of {len(changes)}**", str(sum(len(c.one) for c in changes))]
        both = [c.one for c in changes], [c.other for c in changes]
        cells += [f"{np.mean([v.mean() for v in values]):.4f}" for values in both]
        kept = float(np.mean([c.kept for c in changes]))
        yield _row([*cells, f"{mean:+.4f} ± {error:.4f}", f"{kept:.3f}"])


def loss_bar(changes: Sequence[Change], most: float) -> Bar:
    """Return whether the mean over collections falls by no more than `most`."""
    mean, error = overall(changes)
    return Bar(
        f"the mean changes by {mean:+.4f}, loses at most {most};"
        f" at 95 % it is no worse than {mean - ONE_SIDED * error:+.4f}",
        mean >= -most,
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
