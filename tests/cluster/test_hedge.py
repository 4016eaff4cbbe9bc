"""The first answer to a request counts, and slow or failed attempts are sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.cluster.hedge import AnswerTimes, HedgeBudget, first_answer

NEVER = 1e9


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer, so that no test waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready: Any = getattr(self, "_ready")  # noqa: B009
        scheduled: Any = getattr(self, "_scheduled")  # noqa: B009
        timers = [timer for timer in scheduled if not timer.cancelled()]
        if not ready and timers:
            self._now = max(self._now, min(timer.when() for timer in timers))
        super()._run_once()  # type: ignore[misc]


def run(
    answers: Callable[[int], tuple[float, bool]], **limits: Any
) -> tuple[tuple[int, int] | BaseException, float, list[int]]:
    """Return what came of attempts that take so long and fail or not, when, and which began."""
    begun: list[int] = []
    limits = {"budget": HedgeBudget()} | limits

    async def ask(attempt: int) -> int:
        begun.append(attempt)
        seconds, fails = answers(attempt)
        await asyncio.sleep(seconds)
        if fails:
            raise ConnectionError(str(attempt))
        return attempt

    async def go() -> tuple[tuple[int, int] | BaseException, float, list[int]]:
        loop = asyncio.get_running_loop()
        try:
            found: tuple[int, int] | BaseException = await first_answer(ask, **limits)
        except (TimeoutError, ConnectionError) as error:
            found = error
        return found, loop.time(), begun

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(go())


def test_a_fast_answer_needs_no_second_attempt() -> None:
    assert run(lambda n: (0.1, False), delay=0.5, timeout=5) == ((0, 0), 0.1, [0])


def test_the_second_attempt_counts_where_the_first_is_stuck() -> None:
    found, when, begun = run(lambda n: (NEVER if n == 0 else 0.1, False), delay=0.5, timeout=5)
    assert (found, begun) == ((1, 1), [0, 1])
    assert when == pytest.approx(0.6)


def test_a_failed_attempt_is_sent_again_at_once() -> None:
    found, when, _ = run(lambda n: (0.0, n < 2), delay=0.5, timeout=5)
    assert found == (2, 2)
    assert when < 0.5


def test_slow_answers_are_asked_for_again_a_tenth_of_the_time() -> None:
    budget = HedgeBudget()

    def sent(answers: Callable[[int], tuple[float, bool]]) -> int:
        return sum(
            len(run(answers, delay=0.5, timeout=5, budget=budget)[2]) - 1 for _ in range(200)
        )

    # All are slow: a second attempt is no faster.
    assert 20 <= sent(lambda n: (1.0, False)) <= 31
    # One copy is stuck: each second attempt helps, and there is no limit, from one on.
    for _ in range(10):
        budget.earn()
    assert sent(lambda n: (NEVER if n == 0 else 0.1, False)) == 200


@given(
    st.lists(st.tuples(st.floats(0, 20), st.booleans()), min_size=1, max_size=8),
    st.floats(0.01, 3),
    st.floats(0.05, 10),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_there_is_an_answer_in_time_or_an_error(
    plan: list[tuple[float, bool]], delay: float, timeout: float, hedges: int, retries: int
) -> None:
    found, when, begun = run(
        lambda n: plan[n % len(plan)],
        delay=delay,
        timeout=timeout,
        hedges=hedges,
        retries=retries,
    )
    assert when <= timeout + 1e-6
    assert begun == list(range(len(begun)))
    assert len(begun) <= 1 + hedges + retries
    if isinstance(found, tuple):
        assert not plan[found[1] % len(plan)][1]
    elif isinstance(found, ConnectionError):
        assert len(begun) > retries
    # Whoever would have answered alone in time is not worse off.
    seconds, fails = plan[0]
    if not fails and seconds < timeout:
        assert isinstance(found, tuple)
        assert when <= seconds + 1e-6


def test_the_delay_is_what_most_answers_take() -> None:
    times = AnswerTimes()
    assert times.delay(3.0) == 1.0
    for _ in range(95):
        times.add(0.2)
    for _ in range(5):
        times.add(2.0)
    assert times.delay(3.0) == 0.2
    assert times.delay(0.3) == pytest.approx(0.1)
    for _ in range(200):
        times.add(0.001)
    assert times.delay(3.0) == 0.05
