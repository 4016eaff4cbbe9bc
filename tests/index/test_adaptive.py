"""Adaptive retrieval over graphs of neighbors that the test makes up."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from secondpass.index.adaptive import ROUNDS, read_adaptively
from secondpass.index.rounds import ReadOnce, Rounds
from secondpass.option_types import with_defaults
from secondpass.options import SearchOptions
from secondpass.testing.reranker import ScriptedReranker
from secondpass.types import Candidate, Document

Graph = dict[str, list[str]]


def document(name: str) -> Document:
    return Document(f"text of {name}", id=name)


def read(
    pool: Sequence[str], graph: Graph, limit: int, scores: dict[str, float]
) -> tuple[list[list[str]], Rounds]:
    """Return the ids of each round, and the rounds."""
    reranker = ScriptedReranker(scores)
    chosen = with_defaults(SearchOptions, {})
    rounds = Rounds(ReadOnce(reranker), "query", chosen, limit)
    read_adaptively(
        [Candidate(document(name), rank=n) for n, name in enumerate(pool, 1)],
        rounds,
        lambda found: [[document(n) for n in graph.get(str(d.id), [])] for d in found],
        lambda found: [Candidate(d) for d in found],
    )
    return [[str(c.document.id) for c in call.candidates] for call in reranker.calls], rounds


def test_pool_and_neighbors_of_the_best_take_turns() -> None:
    pool = [f"p{n}" for n in range(12)]
    graph = {"p1": ["n1", "p0", "n2", "p9"], "n1": ["n3"], "p0": ["n4"]}
    rounds, _ = read(pool, graph, 12, {"p1": 2.0, "n1": 3.0})
    assert rounds[:4] == [["p0", "p1"], ["n1", "n2"], ["p2", "p3"], ["n3", "p9"]]
    assert sum(map(len, rounds)) == 12


def test_without_neighbors_the_pool_is_read_and_the_other_way_round() -> None:
    pool = [f"p{n}" for n in range(9)]
    rounds, _ = read(pool, {}, 9, {})
    assert [name for batch in rounds for name in batch] == pool
    chain = {"p0": ["n0"], **{f"n{n}": [f"n{n + 1}"] for n in range(20)}}
    rounds, _ = read(["p0"], chain, 9, {f"n{n}": float(n) for n in range(20)})
    assert {name for batch in rounds for name in batch} == {"p0", *(f"n{n}" for n in range(8))}


_NAMES = st.sampled_from([f"d{n}" for n in range(25)])


@given(
    st.lists(_NAMES, unique=True, max_size=15),
    st.dictionaries(_NAMES, st.lists(_NAMES, unique=True, max_size=5)),
    st.integers(1, 20),
    st.dictionaries(_NAMES, st.floats(-5, 5)),
)
def test_no_more_than_the_limit_is_read_and_nothing_twice(
    pool: list[str], graph: Graph, limit: int, scores: dict[str, float]
) -> None:
    batches, rounds = read(pool, graph, limit, scores)
    names = [name for batch in batches for name in batch]
    assert len(names) == len(set(names)) <= limit
    assert len(names) >= min(limit, len(pool))
    assert list(rounds.taken) == names
    assert all(len(batch) <= -(-limit // ROUNDS) for batch in batches)
