"""Searches with groups, boosts, pinned and hidden documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from secondpass import Document, FilterError, Index, InputError, Status
from secondpass.policies import compose
from secondpass.testing import ScriptedReranker

QUERY = "red fox jumps"


def documents() -> list[Document]:
    """Return a document of many near passages, and eight others that are further."""
    near = " ".join(f"A red fox jumps over gate {n} in the morning." for n in range(60))
    others = [
        Document(
            f"The fox named {name} sleeps.",
            id=f"d{n}",
            metadata={"year": 2000 + n, "n": n * 10, "day": f"20{10 + n}-01-01", "title": name}
            | ({"author": "abc"[n % 3]} if n < 6 else {}),
        )
        for n, name in enumerate(["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"])
    ]
    return [Document(near, id="long", metadata={"author": "x"}), *others]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index") / "i"
    with Index.open(folder, chunk_tokens=80, overlap=8) as opened:
        opened.add(documents())
        assert opened.count_passages() >= 16
        yield opened


def ids(response: Any) -> list[str]:
    return [result.document_id for result in response.results]


@pytest.mark.parametrize("rerank", [True, False])
def test_a_document_with_many_near_passages_leaves_room_for_others(
    index: Index, rerank: bool
) -> None:
    before = index.search(QUERY, candidates=8, top_k=8, rerank=rerank)
    assert set(ids(before)) == {"long"}
    after = index.search(QUERY, candidates=8, top_k=8, rerank=rerank, group_by="document")
    assert len(set(ids(after))) == len(ids(after)) == 8
    assert ids(after)[0] == "long"
    assert "exhausted" not in (after.reason or "")
    assert sorted(r.first_stage_rank for r in after.results) == list(range(1, 9))
    two = index.search(
        QUERY, candidates=8, top_k=8, rerank=rerank, group_by="document", group_size=2
    )
    assert ids(two).count("long") == 2
    every = index.search(QUERY, top_k=20, rerank=rerank, group_by="document")
    assert sorted(ids(every)) == ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "long"]
    assert "the first stage is exhausted" in (every.reason or "")
    assert "9 groups by 'document', which gives 9 results, not 20" in (every.reason or "")


def test_groups_of_one_passage_change_nothing(index: Index) -> None:
    only = {"filter": "year >= 2000", "top_k": None}
    plain, grouped = (
        index.search(QUERY, **o) for o in (only, {**only, "group_by": "document"})
    )
    assert plain.results == grouped.results


def test_groups_by_a_field_count_what_has_none(index: Index) -> None:
    response = index.search(QUERY, top_k=9, group_by="author")
    authors = [r.document.metadata.get("author") for r in response.results if r.document]
    assert sorted(a for a in authors if a) == ["a", "b", "c", "x"]
    assert authors.count(None) == 2
    assert "2 of" in (response.reason or "")
    assert "have no 'author': each is a group of its own" in (response.reason or "")
    with pytest.raises(InputError, match="Did you mean 'author'"):
        index.search(QUERY, group_by="auhtor")
    with pytest.raises(InputError, match="group_size is for group_by"):
        index.search(QUERY, group_size=2)


def test_boosts_by_filter_and_field_survive_the_second_pass(index: Index) -> None:
    rules = ["year >= 2006: +9", {"function": "log", "field": "n", "weight": 0.5}]
    response = index.search(QUERY, boost=rules, group_by="document", top_k=3)
    assert set(ids(response)[:2]) == {"d6", "d7"}
    for result in response.results:
        assert result.score == pytest.approx(sum(result.parts.values()))
        assert result.parts["year >= 2006"] in (0.0, 9.0)
    assert rules == ["year >= 2006: +9", {"function": "log", "field": "n", "weight": 0.5}]
    near = index.search(QUERY, boost=["gauss(day, origin=2013-01-01, scale=90d): 9"], top_k=1)
    assert ids(near) == ["d3"]
    # A field that some document has, but none of the candidates.
    assert index.search(QUERY, filter="author = 'x'", boost=["log(n): 1"]).results
    assert index.search("fox", filter="year > 9999", boost=["log(n): 1"]).results == ()


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"boost": ["yaer >= 3: 1"]}, FilterError, "Did you mean 'year'"),
        ({"boost": ["yaer >= 3: 1"], "filter": "year > 9999"}, FilterError, "'year'"),
        ({"boost": ["log(author): 1"]}, InputError, "log needs numbers"),
        ({"boost": ["log(nn): 1"]}, InputError, "Did you mean 'n'"),
        ({"boost": ["gaus(day, scale=3d): 1"]}, InputError, "Did you mean 'gauss'"),
        ({"boost": "year >= 3: 1"}, InputError, "must be a list"),
        ({"boost": ["log(n): 1"], "rerank": False}, InputError, "boost is for the second pass"),
        ({"diversity": 0.5, "rerank": False}, InputError, "diversity is for the second"),
        ({"diversity": 1.5}, InputError, "from 0 to 1"),
        ({"pin": "d1"}, InputError, "pin must be a list"),
        ({"hide": [None]}, InputError, "not an id"),
        ({"pin": ["d1"], "hide": ["d1"]}, InputError, "both pin and hide"),
        ({"group_by": ""}, InputError, "group_by"),
        ({"group_by": "document", "group_size": 0}, InputError, "at least 1"),
    ],
)
def test_options_that_cannot_be_used(
    index: Index, options: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error) as caught:
        index.search(QUERY, **options)
    assert why in str(caught.value)


@pytest.mark.parametrize("rerank", [True, False])
def test_pinned_documents_are_shown_though_the_first_stage_missed_them(
    index: Index, rerank: bool
) -> None:
    options: Any = {"candidates": 3, "top_k": 3, "rerank": rerank}
    assert set(ids(index.search(QUERY, **options))) == {"long"}
    response = index.search(QUERY, pin=["d5", "d2", "gone"], **options)
    assert ids(response) == ["d5", "d2", "long"]
    assert "the pinned 'gone' is not in the index" in (response.reason or "")
    assert [r.rank for r in response.results] == [1, 2, 3]
    scores = [r.score for r in response.results]
    assert scores == sorted(set(scores), reverse=True)
    for result in response.results[:2]:
        assert result.score == pytest.approx(sum(result.parts.values()))
        assert result.first_stage.score is None
    filtered = index.search(QUERY, pin=["d5"], filter="author = 'x'", **options)
    assert "d5" not in ids(filtered)
    assert "excluded by the filter" in (filtered.reason or "")
    one = index.search(QUERY, pin=["long"], group_by="document", **options)
    assert ids(one).count("long") == 1
    number = index.search(QUERY, pin=["long#2"], group_by="document", **options)
    assert [r.id for r in number.results if r.document_id == "long"] == ["long#2"]


def test_hidden_documents_are_not_shown_and_others_take_their_place(index: Index) -> None:
    response = index.search(QUERY, hide=["long", "d1"], candidates=5, top_k=5)
    assert len(ids(response)) == 5
    assert not {"long", "d1"} & set(ids(response))
    passage = index.search(QUERY, hide=["long#1"], candidates=5, top_k=5)
    assert "long#1" not in [r.id for r in passage.results]
    assert set(ids(passage)) == {"long"}


def test_an_earlier_version_an_async_search_and_an_answer(index: Index) -> None:
    options: Any = {"group_by": "document", "boost": ["year >= 2005: 9"], "pin": ["d1"]}
    newest = index.search(QUERY, **options)
    now = index.search(QUERY, version=index.store.version, **options)
    assert now.results == newest.results
    assert asyncio.run(index.asearch(QUERY, **options)).results == newest.results
    answer = index.answer("Which fox sleeps?", search={"group_by": "document"})
    read = [name.partition("#")[0] for passage in answer.passages for name in passage.ids]
    assert len(read) == len(set(read)) > 1


def test_rerankers_alone_take_boosts_of_fields_pins_and_diversity() -> None:
    some = [Document("a", id="1", metadata={"n": 1}), Document("b", id="2", metadata={"n": 9})]
    plain = ScriptedReranker({"a": 2.0, "b": 1.0})
    assert ids(compose(plain, boost=["log(n): 3"]).rerank("q", some)) == ["2", "1"]
    assert ids(compose(plain, pin=["2"]).rerank("q", some)) == ["2", "1"]
    response = compose(plain, diversity=0.0).rerank("q", some)
    assert ids(response) == ["1", "2"]
    assert response.status is Status.RERANKED
