from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.inference.batches import plan_batches

lengths = st.lists(st.integers(1, 600), max_size=60)


@given(lengths, st.integers(1, 4096), st.integers(1, 64), st.integers(1, 512))
def test_every_sequence_is_in_one_batch(
    found: list[int], budget: int, step: int, longest: int
) -> None:
    batches = list(plan_batches(found, token_budget=budget, step=step, longest=longest))
    assert sorted(r for b in batches for r in b.rows) == list(range(len(found)))
    for batch in batches:
        assert all(found[r] <= batch.length for r in batch.rows)
        assert len(batch.rows) == 1 or len(batch.rows) * batch.length <= budget
    assert [b.length for b in batches] == sorted(b.length for b in batches)


@given(lengths, st.integers(1, 600), st.integers(1, 64))
def test_padding_depends_on_the_sequence_alone(
    others: list[int], length: int, step: int
) -> None:
    def padded(found: list[int]) -> int:
        plan = plan_batches(found, token_budget=2048, step=step, longest=512)
        return next(b.length for b in plan if 0 in b.rows)

    assert padded([length, *others]) == padded([length])
