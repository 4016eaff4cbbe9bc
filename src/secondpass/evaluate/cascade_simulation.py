"""Simulation of a cascade from the known scores of its two rerankers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.pair_scores import ScoresByQuery
from secondpass.rerank.policies.cascade import Margin, survivors


@dataclass(frozen=True)
class CascadeSimulation:
    """The cheap stage of a cascade: its scores of every pair, and its margin."""

    cheap_model: str
    scores: ScoresByQuery
    margin: Margin

    def name(self, full_model: str) -> str:
        """Return the name of the cascade of this stage and a full model."""
        return f"{self.cheap_model} then {full_model}"

    def applies_to(self, depth: int) -> bool:
        """Return whether lists of this depth are cut; `Cascade` scores short ones whole."""
        return depth > self.margin.k

    def survivor_ids(self, query: str, candidates: Sequence[FirstStageCandidate]) -> set[str]:
        """Return the ids of the candidates that the full model scores."""
        if not self.applies_to(len(candidates)):
            return {c.id for c in candidates}
        cheap_scores = [self.scores[query][c.id] for c in candidates]
        return {candidates[i].id for i in survivors(cheap_scores, self.margin)}


def apply_cascade(
    candidates: Sequence[FirstStageCandidate],
    scores: Mapping[str, float],
    survivor_ids: set[str],
) -> tuple[list[FirstStageCandidate], dict[str, float]]:
    """Return the candidates and their scores as `Cascade` returns them.

    A candidate that was ruled out gets the lowest score of the survivors, and is placed
    behind them where scores tie.
    """
    surviving = [c for c in candidates if c.id in survivor_ids]
    ruled_out = [c for c in candidates if c.id not in survivor_ids]
    lowest = min((scores[c.id] for c in surviving), default=0.0)
    cascade_scores = {c.id: scores[c.id] for c in surviving}
    cascade_scores |= {c.id: lowest for c in ruled_out}
    return [*surviving, *ruled_out], cascade_scores
