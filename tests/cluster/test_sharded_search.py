"""A search over shards gives what a search of one index does, and says what it did not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb", reason="the extra index is not installed")

from secondpass import Index, Reranker
from secondpass.errors import FilterError, InputError, RetrieverError
from secondpass.types import RerankResponse, Status
from tests.cluster.local_shards import (
    MODEL,
    WITH_STATES,
    documents,
    make_index,
    sharded,
    wait_until,
)

QUERY = "a ship near the harbor"
# Without a blend, whose scale is that of what was read.
ALL: Any = {"candidates": 40, "top_k": 40, "blend": False}
SEARCHES: list[dict[str, Any]] = [
    {},
    {"filter": "year >= 2002 AND kind != 'tea'"},
    {"group_by": "kind", "group_size": 2},
    {"spans": True, "top_k": 10},
    {"boost": ["kind = 'ship': 2"], "hide": ["d1"], "pin": ["d7"]},
    {"adaptive": True, "candidates": 20},
    {"feedback": 3, "candidates": 20},
    {"like": ["d3"], "mode": "vector"},
    {"query_variants": ["a boat in the port"], "variant_scores": "max"},
    {"rerank": False},
    {"blend": True},
    {"mode": "bm25", "diversity": 0.7},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded") / "index"
    make_index(folder, reranker=Reranker(MODEL))
    return folder


@pytest.fixture(scope="module")
def one(place: Path) -> Iterator[Index]:
    with Index.open(place, create=False, reranker=Reranker(MODEL)) as index:
        yield index


def rows(response: RerankResponse) -> list[tuple[Any, ...]]:
    return [
        (
            r.id,
            # The size of a batch changes the last digits of a score.
            pytest.approx(r.score, abs=1e-4),
            r.scored,
            r.first_stage.rank,
            [(s.start, s.end, pytest.approx(s.score, abs=1e-4)) for s in r.spans],
        )
        for r in response.results
    ]


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_results_are_those_of_one_index(place: Path, one: Index, shards: int) -> None:
    with sharded(place, shards) as (search, transport):
        for options in SEARCHES:
            options = {"candidates": 50, "top_k": 50} | options
            found, expected = search.search(QUERY, **options), one.search(QUERY, **options)
            assert rows(found) == rows(expected), options
            assert found.status == expected.status
        assert {shard for shard, method in transport.calls if method == "read"} == set(
            range(shards)
        )
        assert search.stored_ids(["d1", "nothing"]) == {"d1"}
        with pytest.raises(FilterError):
            search.search(QUERY, filter="no such field = 1")
        with pytest.raises(InputError):
            search.search(QUERY, version=1_000_000)


def test_questions_are_read_again_at_the_shards(place: Path) -> None:
    question = "Where was a ship seen near the bridge?"
    with sharded(place, 2, model=WITH_STATES) as (search, transport), Index.open(place) as one:
        found, expected = search.search(question), one.search(question)
        assert rows(found) == rows(expected)
        assert any(r.parts["rescore"] > 0 for r in found.results)
        transport.calls.clear()
        plain = search.search(question, rescore="none")
        once = sum(method == "read" for _, method in transport.calls)
        assert not any("rescore" in r.parts for r in plain.results)
        search.search(question)
        assert sum(method == "read" for _, method in transport.calls) > 2 * once


def test_what_a_stopped_shard_owns_stays_unread(place: Path) -> None:
    with sharded(place, 2, timeout=2) as (search, transport):
        whole = search.search(QUERY, **ALL)
        transport.stopped.add(1)
        part = search.search(QUERY, **ALL)
        assert part.status is Status.PARTIALLY_RERANKED
        assert part.reason is not None
        assert "shard 1 of 2 did not answer in 2 s" in part.reason
        scores = {r.id: r.score for r in whole.results}
        read = [r for r in part.results if r.scored]
        assert 0 < len(read) < len(part.results) == 40
        assert {r.id: r.score for r in read} == {r.id: scores[r.id] for r in read}
        assert all(not r.scored for r in part.results[len(read) :])
        # Later searches do not wait for it, and go on with the others.
        assert search.search(QUERY).status is Status.PARTIALLY_RERANKED
        calls = search.index.calls
        assert set(calls.down) == {1}
        assert calls.unread[1] > calls.unanswered[1] >= 1

        transport.stopped.clear()
        wait_until(lambda: not calls.down)
        assert search.search(QUERY, **ALL).status is Status.RERANKED


def test_a_failing_shard_is_replaced_in_the_first_pass(place: Path) -> None:
    with sharded(place, 2, timeout=2) as (search, transport):
        transport.failing.add(0)
        for _ in range(4):
            found = search.search(QUERY, rerank=False)
            assert len(found.results) > 0
        transport.failing.add(1)
        with pytest.raises(RetrieverError, match="no shard answers"):
            search.search(QUERY)


def test_what_is_added_is_found(tmp_path: Path) -> None:
    make_index(tmp_path / "index", 5)
    with sharded(tmp_path / "index", 2) as (search, _):
        before = search.index.about.documents
        with Index.open(tmp_path / "index") as index:
            index.add([*documents(5), {"id": "new", "text": "a ship in the harbor"}])
        assert search.search(QUERY).results[0].id == "new"
        wait_until(lambda: search.index.about.documents == before + 1)
