"""What a reranker says of each pair of query and candidate, asked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from secondpass.errors import InputError, ModelError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.reading import Reading
from secondpass.types import Candidate, Document, ScoreKind, Status

Scores = Mapping[str, Mapping[str, float]]
"""By query id, then by the id of a passage."""


def score_pairs(
    reranker: BaseReranker,
    queries: Mapping[str, str],
    wanted: Mapping[str, Sequence[str]],
    documents: Mapping[str, Document],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, float]]:
    """Return the score of each wanted passage of each query.

    `progress` is called with (pairs done, pairs in all). Raises InputError for a reranker
    whose scores depend on the whole list (they hold for one depth only), ModelError for
    one that did not score everything.
    """
    total, done = sum(len(names) for names in wanted.values()), 0
    scores: dict[str, dict[str, float]] = {}
    for query, names in wanted.items():
        scores[query] = {}
        if not names:
            continue
        candidates = [Candidate(documents[name], rank=i) for i, name in enumerate(names, 1)]
        scored = reranker.score(queries[query], candidates, Reading())
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
        scores[query] = {n: s.value for n, s in zip(names, scored.scores, strict=True)}
        done += len(names)
        if progress is not None:
            progress(done, total)
    return scores
