"""Fusing, boosting, likeness and widening, each by itself."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.retrieve.chunking import split_document
from secondpass.server.cloudflare.filters import fields_of
from secondpass.server.cloudflare.public_access import Rates
from secondpass.server.cloudflare.retrieval import RetrievedChunk, fused
from secondpass.server.cloudflare.schemas import Likeness
from secondpass.server.cloudflare.search import joined
from secondpass.server.cloudflare.search_cache import (
    CacheQuery,
    SimilarityCache,
    alike,
    fingerprint,
    jaccard,
)
from secondpass.server.cloudflare.search_plan import boosted
from secondpass.server.http_errors import HttpError
from secondpass.types import Document

LEVELS: list[Likeness] = [
    "super_strict_match", "close_enough", "flexible_friend", "anything_goes"
]  # fmt: skip
HYBRID = cast(Any, SimpleNamespace(kind="hybrid"))


def chunk(name: str, vector: float | None, keyword: float | None) -> RetrievedChunk:
    ranks = {"vector_rank": None if vector is None else 1}
    ranks["keyword_rank"] = None if keyword is None else 1
    item = cast(Any, None)
    return RetrievedChunk(
        HYBRID, Document("", id=name), item, vector=vector, keyword=keyword, **ranks
    )


_scores = st.none() | st.floats(0, 1)
_chunks = st.lists(
    st.tuples(_scores, st.none() | st.floats(0, 1e6)).filter(lambda p: p != (None, None)),
    max_size=70,
).map(lambda rows: [chunk(f"c{n:03}", *row) for n, row in enumerate(rows)])


@given(_chunks, st.sampled_from(["rrf", "max"]))
def test_fused_scores_are_shares_in_falling_order(
    found: list[RetrievedChunk], method: Any
) -> None:
    ranked = fused(found, method)
    assert len(ranked) == min(50, len(found))
    scores = [f.score for f in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= s <= 1 for s in scores)
    assert {f.id for f in ranked} <= {f.id for f in found}
    shuffled = fused(found[::-1], method)
    assert [f.id for f in shuffled] == [f.id for f in ranked]


def test_the_first_of_both_halves_has_1() -> None:
    found = [chunk("a", 0.9, 7.0), chunk("b", 0.8, None), chunk("c", None, 3.0)]
    by_rank = {f.id: f.score for f in fused(found, "rrf")}
    assert by_rank["a"] == 1
    assert by_rank["b"] == by_rank["c"] == pytest.approx(61 / 62 / 2)
    by_share = {f.id: f.score for f in fused(found, "max")}
    assert by_share == pytest.approx({"a": 1, "b": 0.8 / 0.9, "c": 3 / 7})


FIELDS = fields_of(
    [{"field_name": "n", "data_type": "number"}, {"field_name": "b", "data_type": "boolean"}]
)
_rows = st.lists(
    st.fixed_dictionaries(
        {}, optional={"number_n": st.floats(-1e308, 1e308), "boolean_b": st.booleans()}
    ),
    min_size=1,
    max_size=8,
)


@given(_rows, st.sampled_from(["asc", "desc"]), st.floats(0, 1))
def test_a_boost_keeps_scores_shares_and_follows_the_field(
    rows: list[dict[str, Any]], direction: Any, score: float
) -> None:
    rules: Any = [{"field": "N", "direction": direction}, {"field": "b"}]
    found = boosted([score] * len(rows), rows, rules, FIELDS)
    assert all(0 <= s <= 1 for s in found)
    alone = boosted([score] * len(rows), rows, rules[:1], FIELDS)
    known = [
        (row["number_n"], s) for row, s in zip(rows, alone, strict=True) if "number_n" in row
    ]
    sign = 1 if direction == "desc" else -1
    for value, one in known:
        for other, two in known:
            if sign * value > sign * other:
                assert one >= two
    assert boosted([score], [{}], [], FIELDS) == [score]


def test_a_boost_by_what_is_there_or_is_not() -> None:
    rows: Any = [{"boolean_b": False}, {}]
    assert boosted([0.5, 0.5], rows, [{"field": "b"}], FIELDS)[0] == pytest.approx(0.6 / 1.1)
    rule: Any = [{"field": "b", "direction": "not_exists"}]
    assert boosted([0.5, 0.5], rows, rule, FIELDS) == pytest.approx([0.5 / 1.1, 0.6 / 1.1])


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 2))
def test_what_is_alike_on_a_strict_level_is_so_on_a_loose_one(
    one: str, other: str, level: int
) -> None:
    first, second = fingerprint(one), fingerprint(other)
    assert alike(first, first, "super_strict_match")
    assert alike(first, second, LEVELS[level]) == alike(second, first, LEVELS[level])
    if alike(first, second, LEVELS[level]):
        assert alike(first, second, LEVELS[level + 1])
    assert 0 <= jaccard(first.shingles, second.shingles) <= 1


@pytest.mark.parametrize(
    ("one", "other", "strictest"),
    [
        ("What is the weather like today?", "what is  the WEATHER like today", 0),
        ("What's the weather like today?", "How's the weather today?", 1),
        ("What is the capital of France?", "What is the capital of Germany?", 3),
        ("the price in the catalogue of 2023", "the price in the catalogue of 2024", None),
        ("the sea", "The sea, please!", 1),
        ("opening hours of the museum", "opening hours of the museum shop", 2),
        ("dog bites man", "man bites dog", 3),
        ("dogs", "cats", None),
    ],
)  # fmt: skip
def test_levels(one: str, other: str, strictest: int | None) -> None:
    found = [alike(fingerprint(one), fingerprint(other), level) for level in LEVELS]
    assert found == [strictest is not None and n >= strictest for n in range(4)]


def asked(text: str, **more: Any) -> CacheQuery:
    return replace(CacheQuery(text, "scope", ("v", 1), 600, "close_enough"), **more)


def test_the_cache_forgets_what_is_old_changed_or_too_much() -> None:
    now = 0.0
    cache = SimilarityCache(lambda: now)
    cache.put(asked("whales in the sea"), {"n": 1})
    assert cache.get(asked("Whales in the sea?")) == {"n": 1}
    assert cache.get(asked("whales in the sea", scope="other")) is None
    now = 599.0
    assert cache.get(asked("whales in the sea")) == {"n": 1}
    now = 600.0
    assert cache.get(asked("whales in the sea")) is None
    cache.put(asked("whales in the sea"), {"n": 2})
    assert cache.get(asked("whales in the sea", stamp=("v", 2))) is None
    assert cache.get(asked("whales in the sea")) is None
    for number in range(100):
        cache.put(asked(f"whales {number}", scope=str(number)), "x" * 900_000)
    assert cache._bytes <= 64_000_000
    assert cache.get(asked("whales 99", scope="99")) is not None
    assert cache.get(asked("whales 1", scope="1")) is None
    cache.put(asked("huge", scope="huge"), "x" * 2_000_000)
    assert cache.get(asked("huge", scope="huge")) is None


@pytest.mark.parametrize("technique", ["fixed", "sliding"])
def test_rates(technique: Any) -> None:
    now = 0.0
    rates = Rates(lambda: now)
    limit: Any = {"requests": 2, "period_ms": 10_000, "technique": technique}
    rates.take("e", limit)
    now = 9.0
    rates.take("e", limit)
    with pytest.raises(HttpError) as caught:
        rates.take("e", limit)
    assert caught.value.retry_after == pytest.approx(1.0)
    rates.take("other", limit)
    now = 10.0
    rates.take("e", limit)
    if technique == "sliding":
        with pytest.raises(HttpError):
            rates.take("e", limit)
    else:
        rates.take("e", limit)


@given(st.lists(st.integers(1, 9).map("word ".__mul__), min_size=1, max_size=30))
def test_neighbours_joined_are_the_text(parts: list[str]) -> None:
    text = "\n\n".join(f"{n} {part}." for n, part in enumerate(parts)).strip()
    found = [
        Document(p.text, metadata={"start": p.start, "end": p.end, "chunk": p.chunk})
        for p in split_document(Document(text), "d", lambda t: len(t.split()), chunk_tokens=10)
    ]
    assert joined(found).split() == text[found[0].metadata["start"] :].split()
