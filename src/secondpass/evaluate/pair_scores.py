"""Reranker scores of query-passage pairs, each pair scored once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, ModelError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, Document, ScoreKind, Status

ScoresByQuery = Mapping[str, Mapping[str, float]]
"""By query id, then by passage id."""
ProbabilitiesByQuery = Mapping[str, Mapping[str, float | None]]
"""By query id, then by passage id; None for a model that gives no probabilities."""


@dataclass(frozen=True)
class ScoredPairs:
    """A reranker's scores of pairs; `kind` is that of `scores`, before any calibration."""

    scores: ScoresByQuery
    probabilities: ProbabilitiesByQuery
    kind: ScoreKind


def score_pairs(
    reranker: BaseReranker,
    queries: Mapping[str, str],
    passage_ids: Mapping[str, Sequence[str]],
    passages: Mapping[str, Document],
    *,
    options: ScoringOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredPairs:
    """Score passages for each query, `passage_ids` by query id.

    `options` are what the reranker reads, None for the defaults. `progress` is called with
    (pairs done, pairs in all). Raises InputError for a reranker whose scores depend on the
    whole list (they hold for one depth only), ModelError for one that did not score everything.
    """
    total, done = sum(len(ids) for ids in passage_ids.values()), 0
    scores: dict[str, dict[str, float]] = {}
    probabilities: dict[str, dict[str, float | None]] = {}
    kind = ScoreKind.RANK
    for query, ids in passage_ids.items():
        scores[query], probabilities[query] = {}, {}
        if not ids:
            continue
        candidates = [Candidate(passages[name], rank=rank) for rank, name in enumerate(ids, 1)]
        scored = reranker.score(queries[query], candidates, options or ScoringOptions())
        if scored.kind is ScoreKind.RANK:
            raise InputError(
                f"{reranker.model} cannot be studied at several depths",
                why="its scores are comparable within one list only",
                fix="Measure it at one depth: secondpass eval --models … --candidates N",
            )
        if scored.status is not Status.RERANKED:
            raise ModelError(
                f"{reranker.model} did not score every candidate",
                where=f"query {query!r}",
                why=scored.reason,
            )
        kind = scored.kind
        for name, score in zip(ids, scored.scores, strict=True):
            # A blend uses scores from before a calibration.
            scores[query][name] = score.value if score.raw is None else score.raw
            probabilities[query][name] = score.probability
        done += len(ids)
        if progress is not None:
            progress(done, total)
    return ScoredPairs(scores, probabilities, kind)
