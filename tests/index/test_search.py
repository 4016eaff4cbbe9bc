"""Search over any retriever: everything that an index has after retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from secondpass import (
    Candidate,
    Document,
    Embedder,
    FilterError,
    Index,
    InputError,
    Origin,
    RetrieverError,
    ScoreKind,
    Search,
    Status,
)
from secondpass.explain import explain
from secondpass.retrieve.protocol import RetrieverInfo
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.testing import ScriptedReranker
from tests.index.test_index import sample
from tests.index.word_retriever import WordRetriever

QUERY = "When did the oil crisis begin?"


def animals() -> list[Document]:
    return [
        Document(
            f"the {animal} in the {place}",
            id=f"{animal}-{place}",
            metadata={"animal": animal, "year": 2014 + i},
        )
        for i, animal in enumerate(("cat", "dog", "bird", "fish"))
        for place in ("house", "garden", "river")
    ]


def longest(query: str, text: str) -> float:
    return float(len(text))


@pytest.fixture
def search() -> Iterator[Search]:
    with Search(WordRetriever(animals()), ScriptedReranker(longest)) as made:
        yield made


def test_ten_lines_are_searched_in_two_passes(search: Search) -> None:
    response = search.search("cat river", top_k=3)
    assert response.status is Status.RERANKED
    assert response.model == "scripted"
    assert response.reason is None
    assert [r.id for r in response.results] == ["cat-garden", "bird-river", "fish-river"]
    first = {r.id: r.first_stage for r in search.search("cat river", top_k=None).results}
    assert first["cat-river"].rank == 1
    assert first["cat-river"].score == 2.0
    assert first["cat-river"].bm25 is None
    assert {"retrieve", "rerank", "total"} <= set(response.timings)


def test_the_own_ranking_without_a_second_pass(search: Search) -> None:
    response = search.search("cat river", rerank=False, top_k=2)
    assert response.status is Status.SKIPPED
    assert response.results[0].id == "cat-river"
    assert {r.score_kind for r in response.results} == {ScoreKind.RANK}


def test_closing_a_search_closes_its_retriever() -> None:
    retriever = WordRetriever([])
    with Search(retriever) as search:
        response = search.search("cat", rerank=False)
        assert response.results == ()
        assert response.reason is not None
        assert "found nothing" in response.reason
    assert retriever.closed


def test_a_store_of_ours_gives_the_same_as_its_index(tmp_path: Path) -> None:
    embedder = Embedder()
    with Index.open(tmp_path / "i", embedder=embedder) as index:
        index.add(sample(40))
        retriever = HybridRetriever(index.store, embedder)
        over = Search(retriever, "bundled")
        options: Any
        for options in (
            {},
            {"mode": "bm25", "rerank": False},
            {"boost": ["year >= 1990: +0.5"], "diversity": 0.3},
            {"pin": ["blanca-peak-01"], "hide": ["1973-oil-crisis-01"]},
            {"like": ["1973-oil-crisis-01"]},
            {"query_variants": ["oil embargo"], "feedback": 2},
            {"adaptive": True, "group_by": None},
            {"filter": "year < 1990", "fusion": "dbsf"},
        ):
            expected = index.search(QUERY, candidates=20, **options)
            found = over.search(QUERY, candidates=20, **options)
            assert found.reason == expected.reason
            assert [(r.id, r.first_stage, r.parts.keys()) for r in found.results] == [
                (r.id, r.first_stage, r.parts.keys()) for r in expected.results
            ]
            assert [r.score for r in found.results] == pytest.approx(
                [r.score for r in expected.results], abs=0.05
            )
        assert over.keeps_passages
        retriever.close()


def test_candidates_of_others_are_read_without_stored_states() -> None:
    documents = [Document(str(row["text"]), id=str(row["_id"])) for row in sample(12)]
    with Search(WordRetriever(documents), "bundled") as search:
        response = search.search(QUERY, top_k=3, spans=True)
    assert response.results[0].id == "1973-oil-crisis-01"
    assert response.results[0].spans
    assert response.usage.tokens > 100


def test_scores_of_the_halves_are_blended_where_a_retriever_gives_them() -> None:
    def retrieve(query: str, k: int) -> list[Candidate]:
        return [
            Candidate(Document("a", id="a"), bm25=9.0, vector=0.1),
            Candidate(Document("b", id="b"), bm25=1.0),
            Candidate(Document("c", id="c"), vector=0.9),
        ][:k]

    search = Search(retrieve, ScriptedReranker({}, default=0.0))
    response = search.search("x", blend={"rerank": 1, "bm25": 1, "vector": 0.5})
    assert [r.id for r in response.results] == ["a", "c", "b"]
    assert set(response.results[0].parts) == {"rerank", "vector", "bm25"}


def test_groups_are_filled_from_deeper(search: Search) -> None:
    retriever = search.retriever.retriever  # type: ignore[attr-defined]
    response = search.search("the", candidates=3, group_by="animal", rerank=False, top_k=3)
    assert [r.document.metadata["animal"] for r in response.results if r.document] == [
        *("cat", "dog", "bird")
    ]
    assert retriever.asked == [3, 12]
    few = search.search("the", candidates=9, group_by="animal", rerank=False, top_k=9)
    assert len(few.results) == 4
    assert few.reason is not None
    assert "4 groups" in few.reason


def test_hidden_documents_make_room(search: Search) -> None:
    response = search.search("cat", candidates=3, hide=["cat-house"], rerank=False)
    assert [r.id for r in response.results] == ["cat-garden", "cat-river"]


def test_a_pin_among_the_candidates_is_first_and_another_is_said(search: Search) -> None:
    response = search.search("cat", pin=["cat-river", "dog-river"])
    assert response.results[0].id == "cat-river"
    assert response.reason is not None
    assert "'dog-river' is not among the candidates" in response.reason


def test_boosts_by_metadata_and_by_filters(search: Search) -> None:
    plain = search.search("the", top_k=1, blend=False)
    assert plain.results[0].id in ("fish-garden", "bird-garden")
    response = search.search("the", top_k=3, boost=["animal = 'cat' and year < 2015: +10"])
    assert {str(r.id).split("-")[0] for r in response.results} == {"cat"}
    response = search.search("the", top_k=3, boost=["equals(animal, value=dog): +10"])
    assert {str(r.id).split("-")[0] for r in response.results} == {"dog"}
    with pytest.raises(FilterError, match="colour"):
        search.search("the", boost=["colour = 'red': +1"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("like", ["a"]), ("unlike", ["a"]), ("feedback", 3), ("adaptive", True), ("version", 2)],
)
def test_what_needs_an_index_is_refused_with_the_next_step(
    search: Search, option: str, value: Any
) -> None:
    with pytest.raises(InputError, match=option) as caught:
        search.search("cat", **{option: value})
    assert caught.value.fix
    assert caught.value.where == "WordRetriever"


def test_modes_of_a_single_ranking(search: Search) -> None:
    with pytest.raises(InputError, match="one ranking of its own"):
        search.search("cat", mode="bm25")
    response = search.search("cat", weights=[0.5, 0.5], rerank=False)
    assert response.reason is not None
    assert "weights not used" in response.reason


def test_filters_go_to_the_retriever_or_are_refused(search: Search) -> None:
    with pytest.raises(FilterError, match="takes no filter"):
        search.search("cat", filter="year = 2014")
    asked = []

    def retrieve(query: str, k: int, filter: str | None = None) -> list[str]:  # noqa: A002
        asked.append((k, filter))
        return ["a text"]

    Search(retrieve).search("x", filter="year = 2014", candidates=7, rerank=False)
    assert asked == [(7, "year = 2014")]


class Described:
    """A keyword search that says what it is."""

    def describe(self) -> RetrieverInfo:
        return RetrieverInfo(
            ("bm25",), {"year": "integer"}, 3, name="db://x", note="no vectors: add a column"
        )

    def retrieve(
        self,
        query: str,
        k: int = 50,
        filter: str | None = None,  # noqa: A002
    ) -> list[Candidate]:
        return [Candidate(Document("a", id="a", metadata={"year": 3}), score=1.0, bm25=1.0)]


def test_hybrid_over_keyword_search_says_what_is_missing() -> None:
    search = Search(Described(), ScriptedReranker({}))
    assert search.search("x").reason == "no vectors: add a column"
    assert search.search("x", mode="bm25").reason is None
    assert search.fields == {"year": "integer"}
    assert search.matching("year > 2", [Document("a", metadata={"year": 3})]) == [True]
    with pytest.raises(InputError, match="mode 'vector' cannot be used") as caught:
        search.search("x", mode="vector")
    assert caught.value.where == "db://x"
    with pytest.raises(InputError, match="group by"):
        search.search("x", group_by="colour")


def passage(name: str, chunk: int) -> Document:
    return Document("same", id=f"{name}#{chunk}", origin=Origin(name, chunk, 0, 4))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "no list.*None"),
        ("text", "no list"),
        ({"text": "a"}, "no list"),
        ((c for c in ()), "no list.*generator"),
        ([3], "no candidate.*int"),
        ([None], "no candidate"),
        ([{"title": "no text"}], "no candidate.*text"),
        ([Candidate(Document("a"), score=float("nan"))], "no candidate.*nan"),
        ([Candidate(Document("a"), score="high")], "no candidate"),
        ([Document("a", id="1"), Document("b", id="1")], "'1' twice"),
        ([passage("d", 1), passage("d", 1)], "twice"),
        ([Candidate(Document("a"), score=1.0), Document("b")], "some candidates only"),
    ],
)
def test_what_no_retriever_returns(found: Any, message: str) -> None:
    def broken(query: str, k: int) -> Any:
        return found

    with pytest.raises(RetrieverError, match=f"(?s){message}") as caught:
        Search(broken).search("x", rerank=False)
    assert caught.value.fix
    assert caught.value.where == "broken"


def test_texts_mappings_and_documents_without_ids_get_one() -> None:
    def retrieve(query: str, k: int) -> list[Any]:
        return ["same", "same", {"text": "b", "year": 3}, Document("c", id="c")]

    results = Search(retrieve).search("x", rerank=False, top_k=None).results
    assert len({r.id for r in results}) == 4
    assert [r.rank for r in results] == [1, 2, 3, 4]
    assert results[1].id == f"{results[0].id}-2"


def test_more_than_was_asked_for_is_cut_and_said() -> None:
    def retrieve(query: str, k: int) -> list[str]:
        return [f"text {i}" for i in range(9)]

    response = Search(retrieve).search("x", candidates=4, top_k=None, rerank=False)
    assert len(response.results) == 4
    assert response.reason is not None
    assert "9 candidates, of which 4" in response.reason


@pytest.mark.parametrize("bad", [3, None, {}, WordRetriever])
def test_what_is_no_retriever(bad: Any) -> None:
    with pytest.raises(InputError) as caught:
        Search(bad)
    assert caught.value.fix


def test_the_network_of_a_retriever_fails() -> None:
    def retrieve(query: str, k: int) -> list[str]:
        raise ConnectionRefusedError(111, "refused")

    with pytest.raises(RetrieverError, match="refused") as caught:
        Search(retrieve).search("x")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_a_retriever_of_langchain() -> None:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document as LangChainDocument
    from langchain_core.retrievers import BaseRetriever

    class Two(BaseRetriever):
        def _get_relevant_documents(
            self, query: str, *, run_manager: CallbackManagerForRetrieverRun
        ) -> list[LangChainDocument]:
            return [
                LangChainDocument(page_content="short", id="1", metadata={"year": 1}),
                LangChainDocument(page_content="much longer", metadata={"year": 2}),
            ]

    search = Search(Two(), ScriptedReranker(longest))
    results = search.search("x").results
    assert [r.document.text for r in results if r.document] == ["much longer", "short"]
    assert results[1].id == "1"
    with pytest.raises(FilterError):
        search.search("x", filter="year = 1")


def test_answers_and_explanations_over_a_retriever() -> None:
    documents = [Document(str(row["text"]), id=str(row["_id"])) for row in sample(12)]
    with Search(WordRetriever(documents), "bundled-tiny") as search:
        answer = search.answer(QUERY)
        assert answer.passages
        explanation = explain(search, QUERY, "1973-oil-crisis-01", rerank="bundled-tiny")
        assert explanation.found
        assert explanation.terms == ()
        assert explanation.spans
        with pytest.raises(InputError, match="not among the candidates"):
            explain(search, QUERY, "unknown", rerank="bundled-tiny")


async def test_searching_in_a_worker_thread(search: Search) -> None:
    response = await search.asearch("cat river", top_k=1)
    assert response.results[0].id == "cat-garden"


def test_several_wordings_are_fused(search: Search) -> None:
    response = search.search("cat", query_variants=["dog"], top_k=None, rerank=False)
    found: Sequence[str | None] = [r.id for r in response.results]
    assert {str(name).split("-")[0] for name in found} == {"cat", "dog"}
    best: Mapping[str, Any] = {"query_variants": ["dog"], "variant_scores": "max"}
    assert search.search("cat", **best).status is Status.RERANKED
