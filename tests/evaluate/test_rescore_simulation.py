"""The simulation of a second reading: its scores are those of the product."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from secondpass import Candidate, Document
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.rescore_simulation import add_rescored, window_positions
from secondpass.evaluate.score_matrix import build_score_matrix
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS, Blend
from secondpass.rerank.policies.rescore import Rescored, weight_share
from tests.rerank.simple import ByText, Probable

tenths = st.integers(-100, 100).map(lambda n: n / 10)
rows = st.lists(st.tuples(tenths, tenths, tenths, tenths), min_size=1, max_size=12)


@given(rows, st.integers(2, 15), st.sampled_from((0.2, 0.3, 1.0)))
def test_it_scores_as_the_product(
    values: list[tuple[float, float, float, float]], window: int, weight: float
) -> None:
    names = [f"d{i}" for i in range(len(values))]
    told = {name: row[2] for name, row in zip(names, values, strict=True)}
    again = {name: row[3] for name, row in zip(names, values, strict=True)}
    pool = build_score_matrix(
        {"q": "words", "nothing found": "more words"},
        {
            "nothing found": [],
            "q": [
                FirstStageCandidate(name, bm25=row[0], vector=row[1])
                for name, row in zip(names, values, strict=True)
            ],
        },
        {"q": told, "nothing found": {}},
        {"q": {names[0]: 1}, "nothing found": {}},
    )
    fused = weighted_sum(standardize_columns(pool), DEFAULT_WEIGHTS)
    places = window_positions(pool, fused, window)
    read = [[again[names[i]] for i in row] for row in places]
    shares = [weight_share([sigmoid(told[name]) for name in names]), 1.0]
    changed = add_rescored(pool, fused, places, read, weight, shares)

    candidates = [
        Candidate(Document(name, id=name), bm25=row[0], vector=row[1])
        for name, row in zip(names, values, strict=True)
    ]
    product = Rescored(
        Blend(Probable("first", **told)),
        ByText("second", **again),
        window=window,
        weight=weight,
    )
    found = product.rerank("q", candidates).results
    scores = {r.id: r.score for r in found}
    if len(values) > 1:
        assert all(
            math.isclose(scores[name], changed[0, i], abs_tol=1e-9)
            for i, name in enumerate(names)
        )
    assert {r.id for r in found[:window]} == {names[i] for i in places[0]}
