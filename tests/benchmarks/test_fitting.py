from __future__ import annotations

import numpy as np
import pytest
from measuring.fusions import FUSIONS
from measuring.weighing import fit

from secondpass.evaluate.blend_weights import weighted_sum
from secondpass.evaluate.score_matrix import COLUMNS, ndcg
from tests.evaluate.random_score_matrix import random_pool


def test_the_weights_that_made_the_grades_are_recovered() -> None:
    truth = (2.0, 1.0, 0.5)
    pools = {name: {"bm25": random_pool(i, truth)} for i, name in enumerate("abc")}
    found = fit(pools, COLUMNS)
    for weights in [*found.held.values(), found.everywhere]:
        assert weights["rerank"] == 1.0
        assert weights["vector"] == pytest.approx(0.5, abs=0.15)
        assert weights["bm25"] == pytest.approx(0.25, abs=0.15)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_column_of_noise_gets_little_weight(fusion: str) -> None:
    pools = {name: {"bm25": random_pool(i, (1.0, 0.0, 0.0))} for i, name in enumerate("abc")}
    found = fit(pools, COLUMNS, fusion)
    for name, settings in pools.items():
        scores = found.scores(name, settings["bm25"])
        assert float(ndcg(settings["bm25"], scores).mean()) > 0.97


def test_both_settings_have_the_same_say() -> None:
    left, right = random_pool(0, (1.0, 0.0, 0.0)), random_pool(1, (0.0, 1.0, 0.0), questions=3)
    pools = {name: {"bm25": left, "hybrid": right} for name in "ab"}
    weights = fit(pools, COLUMNS).everywhere

    def value(weights: dict[str, float]) -> float:
        columns = [FUSIONS["z-scores"](p) for p in (left, right)]
        pairs = zip((left, right), columns, strict=True)
        return float(np.mean([ndcg(p, weighted_sum(c, weights)).mean() for p, c in pairs]))

    for other in ({"rerank": 1.0}, {"vector": 1.0}, {"bm25": 1.0}):
        assert value(dict(weights)) >= value(other)
