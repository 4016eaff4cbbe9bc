"""Rankings whose first candidates another model reads again, as a search does by default."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from beir import Collection

from harness.pair_scores import PairScorer
from harness.results import FUSED, READ_AGAIN, QualityResults
from harness.scored_collection import ScoredCollection
from harness.suite import SETTINGS
from secondpass.evaluate.rescore_simulation import add_rescored, window_positions
from secondpass.evaluate.score_matrix import FloatArray, ScoreMatrix, ranked_ids
from secondpass.option_values import RESCORE_WEIGHT, RESCORE_WINDOW
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.policies.rescore import weight_share
from secondpass.rerank.question import is_question


class SecondReading:
    """What a rescorer reads of a collection's candidates, the first by some scores.

    - `places`: by query, positions in the score matrix, best first; `read`: the rescorer's
      scores there; `shares`: the share of the weight that counts, by query.
    """

    def __init__(
        self,
        collection: Collection,
        pool: ScoreMatrix,
        scores: FloatArray,
        rescorer: PairScorer,
        *,
        window: int = RESCORE_WINDOW,
        questions_only: bool = False,
    ) -> None:
        self._pool, self._scores = pool, scores
        self.places = window_positions(pool, scores, window)
        reads = [not questions_only or is_question(collection.queries[q]) for q in pool.queries]
        windows = {
            query: [ids[i] for i in row]
            for query, ids, row, read in zip(
                pool.queries, pool.ids, self.places, reads, strict=True
            )
            if read
        }
        by_query = rescorer.score(collection, windows)
        self.read = [
            [by_query[query][ids[i]] if read else 0.0 for i in row]
            for query, ids, row, read in zip(
                pool.queries, pool.ids, self.places, reads, strict=True
            )
        ]
        logits = pool.columns["rerank"]
        self.shares = [
            weight_share([sigmoid(x) for x in logits[i, : len(ids)].tolist()]) * read
            for i, (ids, read) in enumerate(zip(pool.ids, reads, strict=True))
        ]

    def scores(self, weight: float = RESCORE_WEIGHT) -> FloatArray:
        """Return the scores with what the rescorer adds."""
        return add_rescored(
            self._pool, self._scores, self.places, self.read, weight, self.shares
        )


def measure_read_again(
    results: QualityResults,
    collections: Iterable[ScoredCollection],
    load: Callable[[str], Collection],
    rescorer: PairScorer,
) -> None:
    """Add the fused ranking whose first candidates are read again, for questions."""
    found: dict[str, dict[str, FloatArray]] = {setting: {} for setting in SETTINGS}
    for scored in collections:
        collection = load(scored.name)
        for setting in SETTINGS:
            pool = scored.pools[setting]
            fused = results.fits[FUSED].scores(scored.name, pool)
            reading = SecondReading(collection, pool, fused, rescorer, questions_only=True)
            found[setting][scored.name] = np.asarray(
                scored.evaluator.ndcg(ranked_ids(pool, reading.scores()))
            )
    for setting, values in found.items():
        results.values[setting][READ_AGAIN] = values
