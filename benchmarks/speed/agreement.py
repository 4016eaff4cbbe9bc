"""How close one engine's scores come to the reference's, for one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.evaluate.rank_correlation import rank_biased_overlap

TOP = 10


@dataclass(frozen=True)
class Agreement:
    """Share of the top 10 in common, rank-biased overlap of all, largest difference."""

    top: float
    overlap: float
    difference: float


def agree(reference: Sequence[float], scores: Sequence[float]) -> Agreement:
    """Return how two lists of logits of the same texts agree."""
    one, other = order(reference), order(scores)
    depth = min(TOP, len(one))
    shared = len(set(one[:depth]) & set(other[:depth])) / depth
    largest = max(abs(a - b) for a, b in zip(reference, scores, strict=True))
    return Agreement(shared, rank_biased_overlap(one, other), largest)


def order(scores: Sequence[float]) -> list[str]:
    """Return positions, best first; equal scores in the order given."""
    return [str(i) for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))]
