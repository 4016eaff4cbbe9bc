"""What a reranker says of each pair of query and candidate, asked once.

What a cascade makes of one query's candidates, from scores that are there already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, ModelError
from secondpass.evaluate.first_stage import Entry
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.cascade import Margin, survivors
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, Document, ScoreKind, Status

Scores = Mapping[str, Mapping[str, float]]
"""By query id, then by the id of a passage."""
Chances = Mapping[str, Mapping[str, float | None]]
"""The same of probabilities, None for a model that gives none."""


@dataclass(frozen=True)
class Pairs:
    """What a reranker says of pairs; `kind` is that of `scores`, before any calibration."""

    scores: Scores
    chances: Chances
    kind: ScoreKind


def score_pairs(
    reranker: BaseReranker,
    queries: Mapping[str, str],
    wanted: Mapping[str, Sequence[str]],
    documents: Mapping[str, Document],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Return the score and the probability of each wanted passage of each query.

    `progress` is called with (pairs done, pairs in all). Raises InputError for a reranker
    whose scores depend on the whole list (they hold for one depth only), ModelError for
    one that did not score everything.
    """
    total, done = sum(len(names) for names in wanted.values()), 0
    scores: dict[str, dict[str, float]] = {}
    chances: dict[str, dict[str, float | None]] = {}
    kind = ScoreKind.RANK
    for query, names in wanted.items():
        scores[query], chances[query] = {}, {}
        if not names:
            continue
        candidates = [Candidate(documents[name], rank=i) for i, name in enumerate(names, 1)]
        scored = reranker.score(queries[query], candidates, ScoringOptions())
        if scored.kind is ScoreKind.RANK:
            raise InputError(
                f"{reranker.model} cannot be studied at several depths",
                why="its scores hold within one list, not for a pair",
                fix="Measure it at one depth: secondpass eval --models … --candidates N",
            )
        if scored.status is not Status.RERANKED:
            raise ModelError(
                f"{reranker.model} did not score every candidate",
                where=f"query {query!r}",
                why=scored.reason,
            )
        kind = scored.kind
        for name, one in zip(names, scored.scores, strict=True):
            # A blend weighs what a calibration has not bent.
            scores[query][name] = one.value if one.raw is None else one.raw
            chances[query][name] = one.probability
        done += len(names)
        if progress is not None:
            progress(done, total)
    return Pairs(scores, chances, kind)


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
