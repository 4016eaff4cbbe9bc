"""Simulation of a cascade from known scores of its two rerankers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.evaluate.first_stage import Entry
from secondpass.evaluate.pair_scores import Scores
from secondpass.rerank.policies.cascade import Margin, survivors


@dataclass(frozen=True)
class CascadeSimulation:
    """The cheap half of a cascade: its scores of every pair, and whom they rule out."""

    cheap: str
    scores: Scores
    margin: Margin

    def before(self, model: str) -> str:
        """Return the name of the cascade of this and a full model."""
        return f"{self.cheap} then {model}"

    def works(self, depth: int) -> bool:
        """Return whether lists of that depth are sieved; `Cascade` reads short ones whole."""
        return depth > self.margin.k

    def kept(self, query: str, entries: Sequence[Entry]) -> set[str]:
        """Return the ids of the candidates that the full model is shown."""
        if not self.works(len(entries)):
            return {e.id for e in entries}
        cheap = [self.scores[query][e.id] for e in entries]
        return {entries[i].id for i in survivors(cheap, self.margin)}


def sieved(
    entries: Sequence[Entry], scores: Mapping[str, float], kept: set[str]
) -> tuple[list[Entry], dict[str, float]]:
    """Return the candidates and their scores as a `Cascade` gives them.

    What is ruled out has the lowest score of the others, and stands behind them where
    scores tie.
    """
    passed = [e for e in entries if e.id in kept]
    ruled_out = [e for e in entries if e.id not in kept]
    lowest = min((scores[e.id] for e in passed), default=0.0)
    found = {e.id: scores[e.id] for e in passed} | {e.id: lowest for e in ruled_out}
    return [*passed, *ruled_out], found
