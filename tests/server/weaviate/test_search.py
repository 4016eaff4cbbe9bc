"""The first pass: cutting a ranking at jumps of its scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.weaviate.search import autocut


@pytest.mark.parametrize(
    ("scores", "jumps", "expected"),
    [
        ([], 1, 0),
        ([1.0], 1, 1),
        ([1.0, 0.0], 1, 2),
        ([1.0, 1.0, 1.0], 1, 3),
        ([0.1, 0.11, 0.5, 0.51], 1, 2),
        ([0.1, 0.1, 0.9, 0.9, 0.9], 1, 2),
        ([9, 8.9, 4, 3.9, 0.1, 0], 1, 2),
        ([9, 8.9, 4, 3.9, 0.1, 0], 2, 4),
        ([9, 8.9, 4, 3.9, 0.1, 0], 9, 6),
        ([9, 8.9, 4], 0, 3),
        ([9, 8.9, 4], -1, 3),
    ],
)
def test_where_a_ranking_is_cut(scores: list[float], jumps: int, expected: int) -> None:
    assert autocut(scores, jumps) == expected


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=20).map(sorted), st.integers(-1, 5), st.booleans()
)
def test_a_cut_keeps_something_of_everything(
    scores: list[float], jumps: int, falling: bool
) -> None:
    ranking = scores[::-1] if falling else scores
    kept = autocut(ranking, jumps)
    assert min(1, len(scores)) <= kept <= len(scores)
    assert kept <= autocut(ranking, jumps + 1) or jumps < 1
