"""What the quality benchmark adds for a second reading: for questions, of the first ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from beir import Collection
from harness.rescored import SecondReading

from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.score_matrix import ranked_ids
from tests.evaluate.random_score_matrix import random_pool


class Reverses:
    """Scores what it is asked for by how late it comes; remembers the queries."""

    def __init__(self) -> None:
        self.asked: dict[str, list[str]] = {}

    def score(
        self, collection: Collection, documents: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, float]]:
        self.asked = {query: list(names) for query, names in documents.items()}
        return {q: {n: float(i) for i, n in enumerate(names)} for q, names in documents.items()}


def test_only_the_first_of_questions_move() -> None:
    pool = random_pool(0, (1.0, 0.5, 0.5))
    weights = {"rerank": 1.0, "vector": 0.2, "bm25": 0.3}
    fused = weighted_sum(standardize_columns(pool), weights)
    texts = {q: "who?" if i % 2 else "keywords" for i, q in enumerate(pool.queries)}
    collection = Collection("made", [], texts, {})
    rescorer = Reverses()
    reading = SecondReading(
        collection,
        pool,
        fused,
        rescorer,
        window=4,
        questions_only=True,  # type: ignore[arg-type]
    )
    before, after = ranked_ids(pool, fused), ranked_ids(pool, reading.scores(50.0))
    questions = {q for q, text in texts.items() if text == "who?"}
    assert rescorer.asked.keys() == questions
    for query in pool.queries:
        if query in questions:
            assert after[query][:4] == before[query][:4][::-1]
            assert after[query][4:] == before[query][4:]
        else:
            assert after[query] == before[query]
    shares = dict(zip(pool.queries, reading.shares, strict=True))
    assert {query for query, share in shares.items() if share} == questions
    everything = SecondReading(collection, pool, fused, rescorer, window=4)  # type: ignore[arg-type]
    assert rescorer.asked.keys() == set(pool.queries)
    assert np.all(np.array(everything.shares) > 0)
