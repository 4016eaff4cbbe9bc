"""Comparisons of two configurations: values by query, the difference, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from secondpass.errors import InputError
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.search_comparison import (
    QueryChange,
    check_measure,
    compare_queries,
    summarize_changes,
)
from secondpass.types import (
    FirstStageScores,
    RankedDocument,
    RerankResponse,
    ScoreKind,
    Status,
    Usage,
)

pytest.importorskip("ir_measures")
pytest.importorskip("scipy")


class Rankings:
    """An index whose searches have known results, by query and `mode`."""

    def __init__(self, ids: dict[tuple[str, str], Sequence[str]]) -> None:
        self.ids = ids
        self.asked: list[dict[str, Any]] = []

    def search(self, query: str, **options: Any) -> RerankResponse:
        self.asked.append(options)
        results = tuple(
            RankedDocument(
                index=i,
                rank=i + 1,
                score=-i,
                score_kind=ScoreKind.RANK,
                first_stage=FirstStageScores(i + 1),
                id=name,
                document_id=name.partition("#")[0],
            )
            for i, name in enumerate(self.ids[query, options["mode"]])
        )
        return RerankResponse(query, None, Status.RERANKED, results, {}, Usage())


def changes_of(*differences: float) -> list[QueryChange]:
    return [
        QueryChange(f"q{i}", "text", 0.5, 0.5 + d, 10.0, 20.0)
        for i, d in enumerate(differences)
    ]


def test_each_query_has_its_measure_by_both_configurations() -> None:
    index: Any = Rankings(
        {
            # The second passage of a document does not take the place of another document.
            ("a", "bm25"): ["x#1", "x#2", "y"],
            ("a", "hybrid"): ["y", "x#1"],
            ("b", "bm25"): ["z"],
            ("b", "hybrid"): [],
        }
    )
    collection = Collection("test", {"1": "a", "2": "b"}, {"1": {"y": 1}, "2": {"z": 1}}, ())
    before: Any = {"mode": "bm25", "top_k": 1}
    after: Any = {"mode": "hybrid"}
    found = list(compare_queries(index, collection, before, after, measure="RR@10"))
    assert [(c.query, c.before, c.after, c.change) for c in found] == [
        ("1", 0.5, 1.0, 0.5),
        ("2", 1.0, 0.0, -1.0),
    ]
    assert all(options["top_k"] is None for options in index.asked)


def test_a_clear_gain_is_better() -> None:
    result = summarize_changes("nDCG@10", changes_of(*[0.2, 0.3, 0.1, 0.25] * 5))
    assert result.verdict == "better"
    assert (result.effect.won, result.effect.lost) == (20, 0)
    assert result.before == pytest.approx(0.5)
    assert result.after == pytest.approx(0.7125)
    assert (result.before_ms, result.after_ms) == (10.0, 20.0)
    assert "20 queries better, 0 worse, 0 equal" in result.sentence


def test_a_loss_and_no_difference_are_not_better() -> None:
    for difference in (-0.2, 0.0):
        result = summarize_changes("nDCG@10", changes_of(*[difference] * 20))
        assert result.verdict == "not better"
        assert "not better" in result.sentence


def test_a_difference_that_could_be_chance_is_undecided() -> None:
    result = summarize_changes("nDCG@10", changes_of(*[0.4, -0.3, 0.0, 0.1] * 3))
    assert result.verdict == "undecided"


def test_few_queries_decide_nothing() -> None:
    result = summarize_changes("nDCG@10", changes_of(*[0.5] * 9))
    assert result.verdict == "undecided"
    assert "too few" in result.sentence


def test_an_unknown_measure_is_found_before_the_work() -> None:
    check_measure("P(rel=2)@5")
    with pytest.raises(InputError, match="there is no measure"):
        check_measure("nDCGG")
