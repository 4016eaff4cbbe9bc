"""The similarity of queries, and the cache of their answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.cloudflare.schemas import CacheThreshold
from secondpass.server.cloudflare.search_cache import (
    CacheLookup,
    SimilarityCache,
    fingerprint,
    is_similar,
    jaccard,
)

LEVELS: list[CacheThreshold] = [
    "super_strict_match", "close_enough", "flexible_friend", "anything_goes"
]  # fmt: skip


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 2))
def test_a_match_at_a_strict_level_is_one_at_a_loose_level(
    one: str, other: str, level: int
) -> None:
    first, second = fingerprint(one), fingerprint(other)
    assert is_similar(first, first, "super_strict_match")
    assert is_similar(first, second, LEVELS[level]) == is_similar(second, first, LEVELS[level])
    if is_similar(first, second, LEVELS[level]):
        assert is_similar(first, second, LEVELS[level + 1])
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
    found = [is_similar(fingerprint(one), fingerprint(other), level) for level in LEVELS]
    assert found == [strictest is not None and n >= strictest for n in range(4)]


def lookup(text: str, **changes: Any) -> CacheLookup:
    return replace(CacheLookup(text, "scope", ("v", 1), 600, "close_enough"), **changes)


def test_the_cache_drops_what_is_old_changed_or_too_large() -> None:
    now = 0.0
    cache = SimilarityCache(lambda: now)
    cache.put(lookup("whales in the sea"), {"n": 1})
    assert cache.get(lookup("Whales in the sea?")) == {"n": 1}
    assert cache.get(lookup("whales in the sea", scope="other")) is None
    now = 599.0
    assert cache.get(lookup("whales in the sea")) == {"n": 1}
    now = 600.0
    assert cache.get(lookup("whales in the sea")) is None
    cache.put(lookup("whales in the sea"), {"n": 2})
    assert cache.get(lookup("whales in the sea", version=("v", 2))) is None
    assert cache.get(lookup("whales in the sea")) is None
    for number in range(100):
        cache.put(lookup(f"whales {number}", scope=str(number)), "x" * 900_000)
    assert cache._bytes <= 64_000_000
    assert cache.get(lookup("whales 99", scope="99")) is not None
    assert cache.get(lookup("whales 1", scope="1")) is None
    cache.put(lookup("huge", scope="huge"), "x" * 2_000_000)
    assert cache.get(lookup("huge", scope="huge")) is None
