"""Agreement of an engine's scores with the reference's, for one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.evaluate.rank_correlation import rank_biased_overlap

TOP = 10


@dataclass(frozen=True)
class Agreement:
    """Share of the top 10 in common, rank-biased overlap, largest difference of scores."""

    top: float
    overlap: float
    difference: float


def compare_scores(reference: Sequence[float], scores: Sequence[float]) -> Agreement:
    """Return the agreement of two lists of logits of the same texts."""
    expected, ranking = order(reference), order(scores)
    depth = min(TOP, len(expected))
    shared = len(set(expected[:depth]) & set(ranking[:depth])) / depth
    largest = max(abs(a - b) for a, b in zip(reference, scores, strict=True))
    return Agreement(shared, rank_biased_overlap(expected, ranking), largest)


def order(scores: Sequence[float]) -> list[str]:
    """Return positions, best first; equal scores in their original order."""
    return [str(i) for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))]
