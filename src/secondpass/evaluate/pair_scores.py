"""Reranker scores of query-passage pairs, each pair scored once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, ModelError
from secondpass.rerank.base import BaseReranker
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
