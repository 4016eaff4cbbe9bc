"""Studies, tuning and labels over sources that are no index."""

from __future__ import annotations

import pytest

from secondpass import Candidate, Document, InputError, Search
from secondpass.evaluate import Collection, pool, run_study, search_all, tune
from secondpass.evaluate.first_stage import (
    FirstStageCandidate,
    FirstStageRankings,
    run_first_stage,
)
from secondpass.evaluate.pooling import available_systems
from secondpass.testing import ScriptedReranker

QUERIES = {f"q{i}": f"number {i}" for i in range(12)}
QRELS = {f"q{i}": {f"d{i}": 1} for i in range(12)}


def retrieve(query: str, k: int) -> list[Candidate]:
    """Return the right document third, without scores of any kind."""
    number = int(query.split()[1])
    names = [f"d{(number + step) % 12}" for step in (1, 2, 0, 3, 4)]
    return [Candidate(Document(f"text of {name}", id=name)) for name in names[:k]]


def knows(query: str, text: str) -> float:
    return float(text == f"text of d{query.split()[1]}")


@pytest.fixture
def search() -> Search:
    return Search(retrieve, ScriptedReranker(knows))


def collection() -> Collection:
    return Collection("numbers", QUERIES, QRELS)


def test_a_ranking_without_scores_keeps_its_order(search: Search) -> None:
    runs = run_first_stage(search.retriever, {"q0": "number 0"}, 4)
    ranking = runs.rankings["q0"]
    assert [c.id for c in ranking.candidates("hybrid", 3)] == ["d1", "d2", "d0"]
    assert ranking.bm25 == ranking.vector == []
    assert ranking.by_id.keys() == {"d1", "d2", "d0", "d3"}


def test_a_study_says_that_a_good_reranker_pays(search: Search) -> None:
    model = ScriptedReranker(knows)
    study = run_study(search, collection(), models=[model], depths=[2, 5])
    assert [r.variant.label for r in study.first_stages] == ["the source's own ranking"]
    assert study.first_stages[0].mean == pytest.approx(0.5)
    assert study.gain.mean == pytest.approx(0.5)
    assert not any("not retrieved" in note for note in study.collection.notes)


def test_what_is_tuned_can_be_searched_with(search: Search) -> None:
    model = ScriptedReranker(knows)
    tuned = tune(search, collection(), models=[model], depths=[3])
    assert tuned.settings["mode"] == "hybrid"
    assert "fusion" not in tuned.settings
    options = {k: v for k, v in tuned.settings.items() if k != "rerank"}
    run = search_all(search, QUERIES, rerank=model, **options)
    assert run.ranking("q3")[0] == "d3"


def test_judgments_with_other_ids_are_an_error(search: Search) -> None:
    other = Collection("numbers", QUERIES, {q: {f"doc-{q}": 1} for q in QUERIES})
    with pytest.raises(InputError, match="was retrieved") as caught:
        run_study(search, other, models=[ScriptedReranker(knows)], depths=[3])
    assert caught.value.fix


def test_relevant_documents_that_are_not_found_are_counted() -> None:
    found = collection().found({"d0", "d1"}, "X")
    assert found.notes == (
        "10 of 12 relevant documents were not retrieved; whether X has them is not known",
    )
    assert collection().found({f"d{i}" for i in range(12)}, "the shop").notes == ()


def test_scores_that_only_one_half_knows_are_put_together() -> None:
    rankings = FirstStageRankings(
        [FirstStageCandidate("a", 2.0, None), FirstStageCandidate("b", 1.0, None)],
        [FirstStageCandidate("b", None, 0.9), FirstStageCandidate("c", None, 0.8)],
    )
    found = {c.id: (c.bm25, c.vector) for c in rankings.candidates("hybrid", 3)}
    assert found == {"a": (2.0, None), "b": (1.0, 0.9), "c": (None, 0.8)}


def test_pooled_are_the_systems_that_there_are(search: Search) -> None:
    systems = available_systems(search, ("bm25", "vector", "hybrid", "reranked"))
    assert systems == ("hybrid", "reranked")
    found = pool(search, "q0", "number 0", systems=["hybrid"], depth=3)
    assert {d.id for d in found} == {"d0", "d1", "d2"}
