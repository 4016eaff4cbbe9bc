"""`rescore="auto"`, the default of a search: which searches another model reads again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondpass import Index, InputError, ModelError, Reranker, Status
from secondpass.composition import compose
from secondpass.explain import explain
from secondpass.policies import Blend, Budgeted, Rescored
from tests.rerank.policies.test_rescore import Failing

QUESTION = "When did the plague reach England?"
TEXTS = [
    "The plague reached England in June 1348 by ship.",
    "The plague of London was in 1665.",
    "England is a country, and reached the final in 1966.",
    "A ship of the line carried seventy guns.",
    "When a fever rises at night, call a doctor.",
    "Football came to England early.",
    "The harbor of Weymouth is in Dorset.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index") / "i"


@pytest.fixture(scope="module")
def index(folder: Path) -> Iterator[Index]:
    with Index.open(folder) as opened:
        opened.add([{"id": f"d{i}", "text": text} for i, text in enumerate(TEXTS)])
        yield opened


def ranking(response: Any) -> list[tuple[str, float]]:
    return [(r.id, r.score) for r in response.results]


def test_a_question_is_read_again_by_bundled_full(index: Index) -> None:
    found = index.search(QUESTION, top_k=None)
    by_hand = Rescored(Blend(index.reranker()), Reranker("bundled-full"))
    assert ranking(found) == ranking(
        index.search(QUESTION, rerank=by_hand, top_k=None, blend=False)
    )
    assert ranking(found) == ranking(index.search(QUESTION, rescore="bundled-full", top_k=None))
    assert 1 < sum(r.parts["rescore"] > 0 for r in found.results) < 6
    assert found.reason is None
    assert found.model == "bundled"
    assert explain(index, QUESTION, "d0").rescorer == "bundled-full"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("plague england 1348", {}),
        (QUESTION, {"rescore": "none"}),
        (QUESTION, {"rescore": None}),
        (QUESTION, {"blend": False}),
        (QUESTION, {"blend": {"rerank": 1.0, "bm25": 0.3}}),
        (QUESTION, {"cascade": True}),
        (QUESTION, {"budget_ms": 10_000}),
        (QUESTION, {"rerank": "bundled-tiny"}),
        (QUESTION, {"rerank": Reranker(early_exit=True)}),
        (QUESTION, {"rerank": Budgeted(Reranker(), 10_000)}),
        (QUESTION, {"rerank": False}),
        (QUESTION, {"rerank": False, "rescore": "none"}),
    ],
)
def test_no_other_search_is(index: Index, query: str, options: dict[str, Any]) -> None:
    found = index.search(query, top_k=None, **options)
    assert len(found.results) == len(TEXTS)
    assert not any("rescore" in r.parts for r in found.results)


def test_a_model_is_named_for_keywords_and_for_other_rerankers(index: Index) -> None:
    named = {"rescore": "bundled-full", "rerank": "bundled-tiny"}
    for query, options in (("plague england 1348", {}), (QUESTION, named)):
        found = index.search(query, **{"rescore": "bundled-full", **options})
        assert any(r.parts["rescore"] > 0 for r in found.results)


def test_an_explanation_has_what_its_search_has(index: Index) -> None:
    for query in (QUESTION, "plague england 1348"):
        found = {r.id: r for r in index.search(query, top_k=None).results}
        for document in ("d0", "d6"):
            said = explain(index, query, document)
            assert said.final_score == pytest.approx(found[document].score, abs=1e-4)
            assert said.parts.keys() == found[document].parts.keys()
    assert explain(index, QUESTION, "d0", rescore="none").rescorer is None


def test_the_search_survives_it(index: Index, folder: Path) -> None:
    with Index.open(folder) as again:
        again.use_models({"bundled-full": Failing("bundled-full")})
        found = again.search(QUESTION)
        assert found.status is Status.RERANKED
        assert "bundled-full did not rescore: out of memory" in str(found.reason)
        assert ranking(found) == ranking(index.search(QUESTION, rescore="none"))
        # What a caller asks for is different.
        with pytest.raises(ModelError, match="out of memory"):
            again.search(QUESTION, rescore="bundled-full")


def test_keywords_load_nothing(folder: Path) -> None:
    with Index.open(folder) as again:
        assert "load" in again.search("plague england 1348").timings
        assert "load" not in again.search("plague england").timings
        # The time of bundled-full alone: the other is there.
        assert "load" in again.search(QUESTION).timings
        assert "load" not in again.search(QUESTION).timings


def test_only_the_models_that_are_given_rescore(index: Index, folder: Path) -> None:
    with Index.open(folder) as again:
        again.use_models({})
        assert ranking(again.search(QUESTION)) == ranking(
            index.search(QUESTION, rescore="none")
        )
        assert again.rescorer(QUESTION, rerank=True, blend=True, rescore="auto") is None


def test_a_list_of_documents_is_not_rescored() -> None:
    plain, composed = Reranker().rerank(QUESTION, TEXTS), compose().rerank(QUESTION, TEXTS)
    assert ranking(plain) == ranking(composed)
    assert not plain.results[0].parts


def test_a_name_that_is_no_model(index: Index) -> None:
    with pytest.raises((InputError, ModelError), match="autom"):
        index.search(QUESTION, rescore="autom")
