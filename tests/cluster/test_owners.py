"""Which shard owns a text, and the scores of a list that several shards have read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.cluster.owners import (
    Unread,
    find_owners,
    join_scores,
    join_sentences,
    owner_of,
    split_by_owner,
)
from secondpass.rerank.score import Score, Scored
from secondpass.testing import ScriptedReranker
from secondpass.types import Candidate, Document, ScoreKind, Status


@given(st.binary(min_size=16, max_size=16), st.integers(1, 1000))
def test_each_text_has_one_owner(key: bytes, shards: int) -> None:
    assert 0 <= owner_of(key, shards) < shards
    assert owner_of(key, 1) == 0


def test_owners_do_not_change_between_processes() -> None:
    assert owner_of(bytes(range(16)), 7) == int.from_bytes(bytes(range(8)), "big") % 7
    candidates = [Candidate(Document(f"text {i}", id=str(i))) for i in range(2000)]
    owners = find_owners(ScriptedReranker({}), candidates, 4)
    assert owners[:4] == find_owners(ScriptedReranker({}), candidates[:4], 4)
    assert all(400 < owners.count(shard) < 600 for shard in range(4))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.sets(st.integers(0, 5)))
def test_scores_come_back_to_their_places(owners: list[int], silent: set[int]) -> None:
    positions = split_by_owner(owners)
    assert sorted(i for chosen in positions.values() for i in chosen) == list(
        range(len(owners))
    )
    parts = {
        shard: Scored([Score(float(i)) for i in chosen], ScoreKind.LOGIT, pairs=len(chosen))
        for shard, chosen in positions.items()
        if shard not in silent
    }
    unread = [Unread(s, len(positions[s]), "sleeps") for s in positions if s in silent]
    if not parts:
        return
    joined = join_scores(parts, positions, len(owners), unread=unread, shards=6)
    for position, (owner, score) in enumerate(zip(owners, joined.scores, strict=True)):
        assert score.scored is (owner not in silent)
        assert score.value == position or not score.scored
    lowest = min(score.value for score in joined.scores if score.scored)
    assert all(score.value == lowest for score in joined.scores if not score.scored)
    assert joined.pairs == len(owners) - sum(one.documents for one in unread)
    assert (joined.status is Status.PARTIALLY_RERANKED) is bool(unread)
    for one in unread:
        assert f"shard {one.shard} of 6 sleeps" in str(joined.reason)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30),
    st.sets(st.integers(0, 3)),
)
def test_scores_of_sentences_come_back_in_order(
    passages: list[tuple[int, int]], silent: set[int]
) -> None:
    owners = [owner for owner, _ in passages]
    sentences = [tuple((n, n + 1) for n in range(count)) for _, count in passages]
    positions = split_by_owner(owners)
    numbers = iter(range(1000))
    own = [[float(next(numbers)) for _ in spans] for spans in sentences]
    parts = {
        shard: Scored([Score(v) for i in chosen for v in own[i]], ScoreKind.LOGIT)
        for shard, chosen in positions.items()
        if shard not in silent
    }
    joined = join_sentences(parts, positions, sentences)
    expected = [
        (value, owner not in silent)
        for owner, row in zip(owners, own, strict=True)
        for value in row
    ]
    found = [(score.value, score.scored) for score in joined.scores]
    assert len(found) == len(expected)
    for (value, scored), (right, read) in zip(found, expected, strict=True):
        assert scored is read
        assert value == (right if read else 0.0)


def test_a_text_that_is_too_long_for_a_key_has_an_owner() -> None:
    candidate = Candidate(Document("word " * 50_000, id="long"))
    (owner,) = find_owners(ScriptedReranker({}), [candidate], 5)
    assert owner in range(5)
