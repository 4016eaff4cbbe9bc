"""Searches with neighbors, feedback and several queries, over an index without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondpass import (
    Index,
    InputError,
    ModelError,
    RerankResponse,
    ScoreKind,
    Status,
    TextTooLongError,
)
from secondpass.testing.reranker import ScriptedReranker
from tests.retrieve.hashed_embedder import HashedEmbedder


def filler(n: int) -> str:
    return " ".join(f"w{n}{letter}" for letter in "abcdefghijkl")


# Ten documents have the word "tide"; "far" has it not, but nearly all words of tide-0.
SHARED = "harbor boats sailors rope anchor wharf gulls lantern"
DOCUMENTS = [
    {"id": "tide-0", "text": f"tide {SHARED}", "year": 2000},
    *({"id": f"tide-{n}", "text": f"tide {filler(n)}", "year": 2000} for n in range(1, 10)),
    {"id": "far", "text": f"{SHARED} mast", "year": 2020},
    {"id": "moon", "text": "moon orbit gravity", "year": 2020},
    *({"id": f"other-{n}", "text": f"s{n} t{n} q{n}", "year": 2020} for n in range(6)),
]
GOOD = {"tide-0": 5.0, "far": 9.0, "moon": 1.0}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    embedder: Any = HashedEmbedder(dimension=64)
    with Index.open(tmp_path_factory.mktemp("more") / "i", embedder=embedder) as opened:
        opened.add(DOCUMENTS)
        yield opened


def search(
    index: Index, query: Any = "tide", **options: Any
) -> tuple[RerankResponse, list[str]]:
    """Return the response, and the ids that the reranker read, in order."""
    reranker = options.pop("rerank", None) or ScriptedReranker(GOOD)
    given = {"mode": "bm25", "candidates": 8, "blend": False, **options}
    response = index.search(query, rerank=reranker, **given)
    return response, [str(c.document.id) for call in reranker.calls for c in call.candidates]


def test_a_neighbor_of_the_best_is_read_instead_of_the_last(index: Index) -> None:
    plain, read = search(index)
    assert plain.results[0].id == "tide-0"
    assert len(read) == 8
    found, read = search(index, adaptive=True, top_k=None)
    assert found.results[0].id == "far"
    assert len(read) == len(set(read)) == found.usage.pairs == len(found.results) == 8
    first = found.results[0].first_stage
    assert (first.bm25, first.score) == (0.0, None)
    assert first.rank > 8
    assert first.vector is not None
    assert found.status is Status.RERANKED
    blended = search(index, adaptive=True, blend=True)[0]
    assert set(blended.results[0].parts) == {"rerank", "vector", "bm25"}


def test_neighbors_pass_the_filter_and_are_of_the_version(index: Index) -> None:
    found, read = search(index, adaptive=True, filter="year < 2010", top_k=None)
    assert "far" not in read
    assert len(found.results) == 8
    version = index.store.version
    found, _ = search(index, adaptive=True, version=version, like=["far"])
    assert found.results[0].id == "far"
    assert {"bm25", "rerank", "expand", "total"} <= set(found.timings)


def test_feedback_searches_again_for_what_read_well(index: Index) -> None:
    found, read = search(index, feedback=1, top_k=None)
    assert found.results[0].id == "far"
    assert len(read) == len(set(read)) == 8
    assert "far" in read[4:]


def test_documents_that_results_should_be_like(index: Index) -> None:
    like, unlike = ["far"], ["tide-0"]
    found, read = search(index, "w3a", like=like, unlike=unlike, mode="hybrid")
    assert found.results[0].id == "far"
    assert "tide-0" not in read
    assert len(read) == 8
    assert (like, unlike) == (["far"], ["tide-0"])
    before = search(index, "harbor", rerank=ScriptedReranker({}))[0].results
    after = index.search("harbor", like=["moon"], mode="vector", rerank=False).results
    assert before[0].id in ("far", "tide-0")
    assert "moon" in [r.id for r in after][:2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"like": ["nowhere"]}, "like has the id 'nowhere', which is not in the index"),
        ({"unlike": ["nowhere"]}, "unlike has the id"),
        ({"like": "far"}, "must be a list of ids"),
        ({"like": [None]}, "which is no id"),
        ({"like": ["far"], "unlike": ["far"]}, "in like and in unlike"),
        ({"adaptive": True, "feedback": 2}, "cannot be combined"),
        ({"adaptive": True, "group_by": "document"}, "adaptive and group_by cannot"),
        ({"feedback": 2, "group_by": "year"}, "feedback and group_by cannot"),
        ({"feedback": 0}, "at least 1"),
        ({"adaptive": "yes"}, "adaptive cannot be"),
        ({"variant_scores": "mean"}, "variant_scores cannot be"),
        ({"query_variants": "moon"}, "must be a list of texts"),
        ({"query_variants": [" "]}, "The query is empty"),
        ({"query": []}, "The query is empty"),
        ({"query": ["tide", 3]}, "must be text"),
        ({"instructions": "prefer new ones"}, "cannot be followed"),
    ],
)
def test_what_cannot_be_used_is_an_error(index: Index, options: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        search(index, **options)


def test_several_queries_find_what_any_of_them_finds(index: Index) -> None:
    queries = ["tide", "moon"]
    found, read = search(index, queries, top_k=None)
    assert "moon" in read
    assert len(read) == 8
    assert found.query == "tide"
    assert queries == ["tide", "moon"]
    by_id = {r.id: r for r in found.results}
    assert by_id["moon"].first_stage.bm25 == 0.0
    again, _ = search(index, "tide", query_variants=["moon", "tide"], top_k=None)
    assert again.results == found.results
    alone = index.search(queries, mode="bm25", rerank=False, top_k=None)
    assert "moon" in {r.id for r in alone.results}


def test_groups_and_hidden_documents_of_several_queries(index: Index) -> None:
    found, read = search(index, ["tide", "moon"], group_by="year", top_k=5)
    assert sorted(r.document.metadata["year"] for r in found.results) == [2000, 2020]
    assert len(read) == 2
    assert "the first stage is exhausted" in (found.reason or "")
    found, read = search(index, ["tide", "moon"], hide=["moon", "tide-0"], top_k=None)
    assert not {"moon", "tide-0"} & {*read, *(r.id for r in found.results)}


def test_hidden_documents_are_no_neighbors_and_pinned_ones_come_first(index: Index) -> None:
    found, read = search(index, adaptive=True, hide=["far"], pin=["moon"], top_k=None)
    assert "far" not in read
    assert found.results[0].id == "moon"
    assert len(read) == len(set(read))


def test_the_best_score_of_several_queries_can_count(index: Index) -> None:
    def score(query: str, text: str) -> float:
        return float(query in text)

    first, _ = search(index, ["tide", "moon"], rerank=ScriptedReranker(score), top_k=None)
    assert {r.id: r.score for r in first.results}["moon"] == 0
    best, read = search(
        index,
        ["tide", "moon"],
        variant_scores="max",
        rerank=ScriptedReranker(score),
        top_k=None,
    )
    assert {r.id: r.score for r in best.results}["moon"] == 1
    assert len(read) == best.usage.pairs == 16
    _, read = search(
        index,
        ["tide", "moon"],
        variant_scores="max",
        adaptive=True,
        rerank=ScriptedReranker(score),
    )
    assert len(read) == 16


def test_what_is_not_read_of_variants_is_said(tmp_path: Path) -> None:
    long = "moon " * 2000
    with Index.open(tmp_path / "i") as real:
        real.add(["The tide follows the moon."])
        found = real.search("tide", query_variants=[long], variant_scores="max")
        assert "characters of query variants were not embedded" in str(found.reason)
        assert "characters of query variants were not read" in str(found.reason)
        assert found.query_unread == 0
        with pytest.raises(TextTooLongError, match="A query variant is too long"):
            real.search("tide", query_variants=[long], truncate=False)


def test_scores_that_only_order_a_list_cannot_be_read_in_rounds(index: Index) -> None:
    for options in ({"adaptive": True}, {"feedback": 1}):
        with pytest.raises(InputError, match="reads in rounds cannot score a list in parts"):
            search(index, rerank=ScriptedReranker(GOOD, kind=ScoreKind.RANK), **options)


def test_a_model_that_fails_on_the_way_falls_back_for_all(index: Index) -> None:
    failing = ScriptedReranker(GOOD, failures=[ModelError("down")] * 2)
    found, _ = search(index, adaptive=True, rerank=failing, on_failure="fallback", top_k=None)
    assert found.status is Status.FALLBACK
    assert [r.first_stage_rank for r in found.results] == list(range(1, 9))
    with pytest.raises(ModelError, match="down"):
        search(index, adaptive=True, rerank=ScriptedReranker({}, failures=[ModelError("down")]))


def test_without_vectors_there_are_no_neighbors(tmp_path: Path) -> None:
    from secondpass.retrieve.backends.lance.open import open_index
    from secondpass.retrieve.ingest import add_documents
    from secondpass.types import Document

    store = open_index(tmp_path / "words")
    add_documents([Document("tide", id="a")], store, None)
    embedder: Any = HashedEmbedder()
    with Index(store, embedder) as words, pytest.raises(InputError, match="needs vectors"):
        search(words, adaptive=True)
