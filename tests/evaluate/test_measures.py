"""The numbers are those of trec_eval."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import InputError
from secondpass.evaluate import Collection, Run, compare, evaluate
from secondpass.evaluate.measures import parse_measure

documents = st.sampled_from([f"d{i}" for i in range(12)])
# Few values, some of which single precision cannot tell apart: ties everywhere.
values = st.sampled_from([0.0, 0.5, 0.5 + 1e-9, 1.0, 3.25, -2.0])
runs = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(documents, values, min_size=1),
    min_size=1,
)
judgements = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(documents, st.integers(0, 3), min_size=1),
    min_size=1,
).filter(lambda q: any(g for judged in q.values() for g in judged.values()))
NAMES = {
    "nDCG@10": "ndcg_cut_10",
    "nDCG": "ndcg",
    "AP": "map",
    "RR": "recip_rank",
    "R@5": "recall_5",
    "P@5": "P_5",
    "Success@5": "success_5",
}


@settings(max_examples=150)
@given(runs, judgements)
def test_every_value_is_that_of_trec_eval(
    scores: dict[str, dict[str, float]], grades: dict[str, dict[str, int]]
) -> None:
    if not set(scores) & set(grades):
        return
    collection = Collection("c", dict.fromkeys(grades, "text"), grades)
    ours = evaluate(Run("r", scores), collection, list(NAMES))
    judge = pytrec_eval.RelevanceEvaluator(
        grades, {"ndcg_cut", "ndcg", "map", "recip_rank", "recall", "P", "success"}
    )
    theirs = judge.evaluate(scores)
    for name, theirs_name in NAMES.items():
        expected = [theirs.get(q, {}).get(theirs_name, 0.0) for q in grades]
        assert ours.values[name] == pytest.approx(np.array(expected), abs=1e-6)


def test_measures_that_trec_eval_lacks() -> None:
    collection = Collection("c", {"q": "t"}, {"q": {"a": 2, "b": 1, "c": 0}})
    run = Run.from_rankings("r", {"q": ["x", "b", "a", "y", "c"]})
    means = evaluate(run, collection, ["Judged@10", "P(rel=2)@5", "RR@10"]).means
    assert means == pytest.approx({"Judged@10": 0.6, "P(rel=2)@5": 0.2, "RR@10": 0.5})


@pytest.mark.parametrize(
    ("name", "message"),
    [("nDGC@10", "'nDCG'"), ("nDCG@x", "Write it as"), ("", "cannot be read"), ("P", "comput")],
)
def test_a_measure_that_there_is_not(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_measure(name)


def test_a_run_without_any_of_the_queries_is_an_error() -> None:
    collection = Collection("c", {"q": "t"}, {"q": {"a": 1}})
    with pytest.raises(InputError, match="has none of the 1 queries"):
        evaluate(Run("r", {"other": {"a": 1.0}}), collection)


def test_a_query_without_results_counts_as_zero_and_is_told() -> None:
    collection = Collection("c", {"1": "t", "2": "t"}, {"1": {"a": 1}, "2": {"a": 1}})
    found = evaluate(Run("r", {"1": {"a": 1.0}, "3": {"a": 1.0}}), collection, ["nDCG@10"])
    assert found.means["nDCG@10"] == 0.5
    assert any("1 queries without results" in note for note in found.notes)
    assert any("1 queries that are not judged" in note for note in found.notes)


def many(n: int, wrong: int) -> tuple[Collection, Run, Run]:
    grades = {f"q{i}": {"a": 1} for i in range(n)}
    collection = Collection("c", dict.fromkeys(grades, "t"), grades)
    good = Run.from_rankings("good", {q: ["a", "b"] for q in grades})
    bad = Run.from_rankings(
        "bad", {q: ["b", "a"] if i < wrong else ["a", "b"] for i, q in enumerate(grades)}
    )
    return collection, good, bad


def test_a_sure_fall_is_noticed_and_a_rise_is_none() -> None:
    collection, good, bad = many(20, 10)
    assert compare(bad, good, collection).fell
    assert not compare(good, bad, collection).fell
    assert not compare(good, good, collection).fell


def test_a_fall_that_may_be_chance_is_none() -> None:
    collection, good, bad = many(20, 2)
    found = compare(bad, good, collection)
    assert found.now < found.before
    assert not found.fell


def test_one_query_can_be_measured_but_shows_nothing() -> None:
    collection, good, bad = many(1, 1)
    found = compare(bad, good, collection)
    assert not found.fell
    assert found.effect.p == 1.0
    assert found.effect.t == 1.0
    assert found.effect.detectable is None
