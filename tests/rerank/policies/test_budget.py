from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Candidate, InputError, Status
from secondpass.policies import Budgeted, EarlyStopping
from secondpass.rerank.policies.budget import FIRST_BATCH, MAX_BATCH, LatencyEstimate
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from tests.rerank.simple import Numbers, numbered


@pytest.mark.parametrize("budget", [0, -1, -0.5, math.nan, math.inf, None, "80", True])
def test_a_budget_that_cannot_be_used(budget: object) -> None:
    with pytest.raises(InputError, match=r"above 0.*rerank=False"):
        Budgeted(Numbers(), budget)  # type: ignore[arg-type]


def test_with_time_for_all_nothing_changes() -> None:
    values = [float(i % 7) for i in range(200)]
    response = Budgeted(Numbers(), 600_000).rerank("q", numbered(values))
    assert response.results == Numbers().rerank("q", numbered(values)).results
    assert (response.status, response.reason) == (Status.RERANKED, None)
    assert response.usage.scored == response.usage.pairs == 200


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Slow(Numbers):
    """Takes as many milliseconds over a candidate as it scores it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.begun: list[float] = []

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        scored = super().score(query, candidates, options)
        self.begun.append(self.clock.now)
        self.clock.now += sum(s.value for s in scored.scores) / 1000
        return scored


@given(
    st.lists(st.lists(st.floats(0, 50), min_size=1, max_size=60), min_size=1, max_size=4),
    st.floats(1, 500),
)
def test_no_batch_is_begun_after_the_budget(
    queries: list[list[float]], budget_ms: float
) -> None:
    clock = Clock()
    slow = Slow(clock)
    budgeted = Budgeted(slow, budget_ms)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("secondpass.rerank.policies.budget.time", clock)
        for values in queries:
            slow.asked, slow.begun, started = [], [], clock.now
            scored = budgeted.score("q", numbered(values), ScoringOptions())
            assert sum(s.scored for s in scored.scores) == slow.read
            assert len(slow.asked[0]) <= FIRST_BATCH
            assert all(begun - started < budget_ms / 1000 for begun in slow.begun[1:])


def test_where_all_take_the_same_the_budget_is_used_and_kept() -> None:
    clock = Clock()
    slow = Slow(clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("secondpass.rerank.policies.budget.time", clock)
        scored = Budgeted(slow, 80).score("q", numbered([1.0] * 200), ScoringOptions())
    assert scored.status is Status.PARTIALLY_RERANKED
    assert 75 <= slow.read <= 80


def test_the_clock_may_have_started_before() -> None:
    clock = Clock()
    slow = Slow(clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("secondpass.rerank.policies.budget.time", clock)
        scored = Budgeted(slow, 80).score(
            "q", numbered([1.0] * 200), ScoringOptions(started=-0.075)
        )
    assert sum(s.scored for s in scored.scores) <= 5


def test_what_was_learned_is_shared_with_twins_and_kept() -> None:
    budgeted = Budgeted(Numbers(), 50)
    twin = budgeted.map_base(lambda base: base)
    twin.rerank("q", numbered([1.0, 2.0]))
    assert budgeted._latency.ms_per_candidate is not None
    assert budgeted._latency is twin._latency


@given(
    st.floats(-1e9, 1e9),
    st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1e6)), max_size=5),
    st.booleans(),
)
def test_a_batch_fits_what_is_left(
    left: float, seen: list[tuple[int, float]], first: bool
) -> None:
    pace = LatencyEstimate()
    for candidates, milliseconds in seen:
        pace.update(candidates, milliseconds, first=False)
    size = pace.batch_size(left, first=first)
    if pace.ms_per_candidate is None:
        assert size == FIRST_BATCH
    elif first:
        assert 1 <= size <= FIRST_BATCH
    else:
        assert 0 <= size <= MAX_BATCH
        assert size == 0 or size * pace.ms_per_candidate <= left * 1.000001
        assert size > 0 or left <= max(pace.ms_per_candidate, 1e-6)


def test_a_slow_start_is_forgotten() -> None:
    pace = LatencyEstimate()
    pace.update(4, 4000.0, first=True)
    assert pace.batch_size(80.0, first=False) == 0
    for _ in range(12):
        pace.update(1, 1.0, first=True)
    assert pace.batch_size(80.0, first=False) > 8


def test_what_a_query_itself_costs_is_not_taken_for_its_candidates() -> None:
    pace = LatencyEstimate()
    pace.update(4, 4.0, first=True)
    pace.update(1, 300.0, first=True)
    assert pace.ms_per_candidate == 1.0
    pace.update(1, 3.0, first=False)
    assert pace.ms_per_candidate == 2.0


def test_steps_stop_with_the_budget_inside_them() -> None:
    inner = Numbers()
    policy = EarlyStopping(Budgeted(inner, 1e-6), k=3, batch=10, patience=3)
    response = policy.rerank("q", numbered([float(i) for i in range(100)]))
    assert inner.read == FIRST_BATCH
    assert response.reason == "numbers scored 4 of 10 in 1e-06 ms"


@pytest.mark.parametrize("option", ["k", "batch", "patience"])
@pytest.mark.parametrize("value", [0, -1, 1.5, None, True])
def test_steps_that_cannot_be_used(option: str, value: object) -> None:
    with pytest.raises(InputError, match=option):
        EarlyStopping(Numbers(), **{option: value})  # type: ignore[arg-type]


@given(
    st.lists(st.floats(-9, 9), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(1, 3),
)
def test_steps_stop_after_so_many_quiet_batches(
    values: list[float], k: int, batch: int, patience: int
) -> None:
    inner = Numbers()
    response = EarlyStopping(inner, k=k, batch=batch, patience=patience).rerank(
        "q", numbered(values)
    )
    quiet, seen = 0, 0
    while seen < len(values) and quiet < patience:
        before = sorted(values[:seen], reverse=True)[:k]
        seen = min(seen + batch, len(values))
        quiet = quiet + 1 if sorted(values[:seen], reverse=True)[:k] == before else 0
    assert response.usage.scored == inner.read == seen
    best = sorted(range(seen), key=lambda i: (-values[i], i))[:k]
    assert [r.index for r in response.results[:k]][: len(best)] == best


def test_who_wants_more_gets_a_longer_top() -> None:
    values = [*(float(100 - i) for i in range(10)), *(float(i) for i in range(90))]
    policy = EarlyStopping(Numbers(), k=5, batch=10, patience=2)
    assert policy.rerank("q", numbered(values), top_k=3).usage.scored == 30
    assert policy.rerank("q", numbered(values)).usage.scored == 30
    assert policy.rerank("q", numbered(values), top_k=12).usage.scored == 100
