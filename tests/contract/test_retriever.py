"""What every retriever must do: the small protocol that adapters of databases implement."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from secondpass.errors import FilterError, InputError
from secondpass.options import MODES
from secondpass.retrieve.protocol import Retriever
from secondpass.types import Document
from tests.contract.retrievers import RETRIEVERS

DOCUMENTS = [
    Document(f"{animal} in the {place}", id=f"{animal}-{place}", metadata={"year": year})
    for year, animal in enumerate(("cat", "dog", "bird", "fish"), 2014)
    for place in ("house", "garden", "river")
]


@pytest.fixture(scope="module", params=RETRIEVERS)
def retriever(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Retriever]:
    with RETRIEVERS[request.param](tmp_path_factory.mktemp("index"), DOCUMENTS) as made:
        yield made


def test_it_is_a_retriever_that_describes_itself(retriever: Retriever) -> None:
    assert isinstance(retriever, Retriever)
    info = retriever.describe()
    assert set(info.modes) <= set(MODES)
    assert info.count in (None, len(DOCUMENTS))
    assert info.fields == {} or "year" in info.fields


def test_candidates_are_ranked_from_1_by_falling_score(retriever: Retriever) -> None:
    candidates = retriever.retrieve("cat in the river", 5)
    assert 0 < len(candidates) <= 5
    assert candidates[0].document.id == "cat-river"
    assert [c.rank for c in candidates] == list(range(1, len(candidates) + 1))
    scores = [c.score for c in candidates if c.score is not None]
    assert len(scores) == len(candidates)
    assert scores == sorted(scores, reverse=True)
    assert len({c.document.id for c in candidates}) == len(candidates)


def test_documents_are_whole(retriever: Retriever) -> None:
    by_id = {d.id: d for d in DOCUMENTS}
    for candidate in retriever.retrieve("dog house"):
        original = by_id[candidate.document.id]
        assert candidate.document.text == original.text
        assert candidate.document.metadata == original.metadata


def test_both_scores_are_there_where_the_source_has_them(retriever: Retriever) -> None:
    info = retriever.describe()
    for candidate in retriever.retrieve("cat river"):
        if "bm25" in info.modes:
            assert candidate.bm25 is not None
            assert candidate.bm25 >= 0
        if "vector" in info.modes:
            assert candidate.vector is not None
            assert -1 <= candidate.vector <= 1


def test_a_filter_applies_before_the_limit(retriever: Retriever) -> None:
    if not retriever.describe().fields:
        pytest.skip("this retriever has no filters")
    candidates = retriever.retrieve("cat dog bird fish house", 3, "year = 2017")
    assert len(candidates) == 3
    assert all(c.document.metadata["year"] == 2017 for c in candidates)
    with pytest.raises(FilterError):
        retriever.retrieve("cat", 3, "no_such_field = 1")


@pytest.mark.parametrize("query", ["", " ", "\0", "\ud800", "(a AND", "NOT", "😀" * 1000])
def test_any_text_is_a_query(retriever: Retriever, query: str) -> None:
    assert len(retriever.retrieve(query, 2)) <= 2


@pytest.mark.parametrize(("query", "k"), [(3, 5), (None, 5), ("cat", 0), ("cat", -1)])
def test_arguments_that_cannot_be_used(retriever: Retriever, query: Any, k: Any) -> None:
    with pytest.raises(InputError):
        retriever.retrieve(query, k)


def test_several_threads_get_the_same(retriever: Retriever) -> None:
    def retrieve(_: int) -> list[tuple[str | None, float | None]]:
        return [(c.document.id, c.score) for c in retriever.retrieve("bird garden", 6)]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(retrieve, range(24)))
    assert all(result == results[0] for result in results)
