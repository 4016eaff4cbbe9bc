"""A simulated cascade gives the results of the cascade policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import BaseReranker, Candidate, Document, ScoreKind
from secondpass.evaluate.cascade_simulation import CascadeSimulation
from secondpass.evaluate.first_stage import FirstStageCandidate, FirstStageRankings
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.tuning import choose_settings
from secondpass.evaluate.variant_builders import WITH_NEIGHBORS, reranked_variants
from secondpass.policies import Blend, Cascade
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.rerank.policies.cascade import Margin
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from tests.evaluate.experiment_data import make_experiment_data

# Few values, so that scores tie.
steps = st.integers(-6, 6).map(lambda n: n / 2)
rows = st.lists(st.tuples(steps, steps, steps, steps), min_size=1, max_size=14)


class Column(BaseReranker):
    """Reads its scores from one of two numbers in the text."""

    def __init__(self, column: int) -> None:
        self.column = column

    @property
    def model(self) -> str:
        return f"column {self.column}"

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        values = [float(c.document.text.split()[self.column]) for c in candidates]
        return Scored([Score(v, probability=abs(v) / 4) for v in values], ScoreKind.LOGIT)


@settings(max_examples=150)
@given(rows, st.floats(0, 4), st.integers(1, 5))
def test_the_order_and_the_probabilities_are_those_of_a_cascade(
    columns: list[tuple[float, float, float, float]], value: float, k: int
) -> None:
    first_stage = [
        FirstStageCandidate(f"d{i:02}", bm25, vector)
        for i, (_, _, bm25, vector) in enumerate(columns)
    ]
    full = {"q": {f"d{i:02}": row[1] for i, row in enumerate(columns)}}
    margin = Margin(value, k)
    vectors = {
        f"d{i:02}": np.array([bm25, vector, 1.0], np.float32)
        for i, (_, _, bm25, vector) in enumerate(columns)
    }
    variants = reranked_variants(
        {"q": "what"},
        {"q": FirstStageRankings(first_stage, ())},
        Objective({"q": {"d00": 1}}),
        {"q": {"d00": 1}},
        model="full",
        scores=full,
        default_weights=DEFAULT_WEIGHTS,
        mode="bm25",
        depth=len(columns),
        latency_ms=1.0,
        probabilities={"q": {name: abs(score) / 4 for name, score in full["q"].items()}},
        cascade=CascadeSimulation(
            "cheap", {"q": {f"d{i:02}": r[0] for i, r in enumerate(columns)}}, margin
        ),
        vectors=vectors,
    )
    candidates = [
        Candidate(Document(f"{r[0]} {r[1]}", id=e.id), rank=i, bm25=e.bm25, vector=e.vector)
        for i, (e, r) in enumerate(zip(first_stage, columns, strict=True), 1)
    ]
    cascade = Cascade(Column(0), Column(1), margin)
    assert variants[3].order == WITH_NEIGHBORS
    near = Blend(
        cascade,
        variants[3].settings[0]["blend"],
        vectors=lambda documents: {d.key: vectors[d.key] for d in documents},
    )
    for variant, reranker in (
        (variants[0], Blend(cascade)),
        (variants[1], cascade),
        (variants[3], near),
    ):
        results = reranker.rerank("what", candidates).results
        # Scores that differ only by the order of their additions may change places.
        scores = {r.id: r.score for r in results}
        simulated = variant.ranked_ids(0)["q"]
        assert sorted(simulated) == sorted(scores)
        assert [scores[name] for name in simulated] == pytest.approx(
            [r.score for r in results], abs=1e-9
        )
        assert variant.ranked_probabilities is not None
        assert dict(variant.ranked_probabilities(0)["q"]) == {
            r.id: r.probability for r in results
        }
        assert variant.settings[0]["cascade"] is True


def test_a_cascade_is_tried_where_it_does_something() -> None:
    # The cheap stage takes a quarter of the time and keeps the right ones.
    data = make_experiment_data(knows=1.0, cascade=True)
    tuned = choose_settings(data)
    plain = choose_settings(make_experiment_data(knows=1.0))
    assert tuned.tried > plain.tried
    assert tuned.settings["cascade"] is True
    assert tuned.label.startswith("quick then wise & old, 20 of ")
    assert tuned.ms < plain.ms
    assert tuned.promised == pytest.approx(plain.promised, abs=0.02)
