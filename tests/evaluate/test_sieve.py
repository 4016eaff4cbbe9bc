"""A cascade that is made up from known scores is the one that searches."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import BaseReranker, Blend, Candidate, Cascade, Document, ScoreKind
from secondpass.evaluate.cascade_simulation import CascadeSimulation
from secondpass.evaluate.first_stage import Entry, Halves
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.tuning import tuned
from secondpass.evaluate.variant_builders import reranked
from secondpass.rerank.base import Score, Scored
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.rerank.policies.cascade import Margin
from secondpass.rerank.scoring_options import ScoringOptions
from tests.evaluate.evidence import made

# Few values, so that scores tie.
steps = st.integers(-6, 6).map(lambda n: n / 2)
rows = st.lists(st.tuples(steps, steps, steps, steps), min_size=1, max_size=14)


class Column(BaseReranker):
    """Reads its scores from one of two numbers in the text."""

    def __init__(self, place: int) -> None:
        self.place = place

    @property
    def model(self) -> str:
        return f"column {self.place}"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        values = [float(c.document.text.split()[self.place]) for c in candidates]
        return Scored([Score(v, probability=abs(v) / 4) for v in values], ScoreKind.LOGIT)


@settings(max_examples=150)
@given(rows, st.floats(0, 4), st.integers(1, 5))
def test_the_order_and_the_probabilities_are_those_of_a_cascade(
    found: list[tuple[float, float, float, float]], value: float, k: int
) -> None:
    entries = [Entry(f"d{i:02}", bm25, vector) for i, (_, _, bm25, vector) in enumerate(found)]
    full = {"q": {f"d{i:02}": row[1] for i, row in enumerate(found)}}
    margin = Margin(value, k)
    families = reranked(
        {"q": "what"},
        {"q": Halves(entries, ())},
        Objective({"q": {"d00": 1}}),
        {"q": {"d00": 1}},
        model="full",
        scores=full,
        default=DEFAULT_WEIGHTS,
        mode="bm25",
        depth=len(found),
        cost=1.0,
        chances={"q": {name: abs(score) / 4 for name, score in full["q"].items()}},
        sieve=CascadeSimulation(
            "cheap", {"q": {f"d{i:02}": r[0] for i, r in enumerate(found)}}, margin
        ),
    )
    candidates = [
        Candidate(Document(f"{r[0]} {r[1]}", id=e.id), rank=i, bm25=e.bm25, vector=e.vector)
        for i, (e, r) in enumerate(zip(entries, found, strict=True), 1)
    ]
    cascade = Cascade(Column(0), Column(1), margin)
    for family, reranker in ((families[0], Blend(cascade)), (families[1], cascade)):
        results = reranker.rerank("what", candidates).results
        assert family.ranked(0) == {"q": [r.id for r in results]}
        assert family.listed is not None
        assert family.listed(0) == {"q": [(r.id, r.probability) for r in results]}
        assert family.settings[0]["cascade"] is True


def test_a_cascade_is_tried_where_it_does_something() -> None:
    # The cheap half costs a quarter and keeps the right ones.
    evidence = made(knows=1.0, cascade=True)
    found = tuned(evidence)
    plain = tuned(made(knows=1.0))
    assert found.tried > plain.tried
    assert found.settings["cascade"] is True
    assert found.label.startswith("quick then wise & old, 20 of ")
    assert found.ms < plain.ms
    assert found.promised == pytest.approx(plain.promised, abs=0.02)
