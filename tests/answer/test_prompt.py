from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.answer.prompt import best_at_both_ends
from secondpass.answer.types import Passage


@given(st.integers(0, 12))
def test_the_best_stand_at_both_ends(n: int) -> None:
    passages = [Passage(i + 1, "", (str(i + 1),), i + 1) for i in range(n)]
    order = [p.number for p in best_at_both_ends(passages)]
    assert sorted(order) == list(range(1, n + 1))
    if n > 2:
        assert (order[0], order[-1]) == (1, 2)
