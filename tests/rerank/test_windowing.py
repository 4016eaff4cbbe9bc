from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.rerank.windowing import PassageAggregation, parse_aggregation

options = st.builds(
    PassageAggregation,
    aggregate=st.sampled_from(["max", "mean", "first", "top-2-mean", "top-7-mean"]),
    overlap=st.floats(0, 0.9),
    limit=st.integers(1, 20),
)


@given(options, st.integers(0, 5000), st.integers(1, 400))
def test_windows_cover_the_text_without_gaps(
    p: PassageAggregation, tokens: int, size: int
) -> None:
    spans = p.windows(tokens, size)
    assert 1 <= len(spans) <= p.max_windows
    assert spans[0][0] == 0
    assert all(end - start == min(size, tokens) for start, end in spans)
    for (_, end), (start, _) in pairwise(spans):
        assert start <= end
    assert all(a[0] < b[0] for a, b in pairwise(spans))
    assert spans[-1][1] == tokens or len(spans) == p.max_windows


@given(options, st.lists(st.floats(-20, 20), min_size=1, max_size=9))
def test_combined_scores_lie_within_the_windows_scores(
    p: PassageAggregation, scores: list[float]
) -> None:
    assert min(scores) - 1e-9 <= p.combine(scores) <= max(scores) + 1e-9


def test_the_aggregates() -> None:
    scores = [1.0, 5.0, 3.0]
    assert PassageAggregation("max").combine(scores) == 5
    assert PassageAggregation("mean").combine(scores) == 3
    assert PassageAggregation("first").combine(scores) == 1
    assert PassageAggregation("top-2-mean").combine(scores) == 4
    assert PassageAggregation("top-9-mean").combine(scores) == 3
    assert PassageAggregation("first").windows(100, 10) == [(0, 10)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("maximum",),
        ("top-0-mean",),
        ("max", 1.0),
        ("max", -0.1),
        ("max", 0.1, 0),
        (None,),
        (3,),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: tuple) -> None:
    with pytest.raises(InputError):
        PassageAggregation(*arguments)


def test_parsing() -> None:
    assert parse_aggregation(None) == PassageAggregation()
    assert parse_aggregation("mean") == PassageAggregation("mean")
    assert parse_aggregation(PassageAggregation("first")) == PassageAggregation("first")
