"""Asking a second replica where the first one is slow: the first answer counts.

After J. Dean and L. A. Barroso, The Tail at Scale, Communications of the ACM, 2013.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_MEASURED = 200
_MIN_MEASURED = 20
_SHARE = 0.95
_SHORTEST = 0.05
_LONGEST_SHARE = 1 / 3
# An attempt that fails at once says that a process has just ended; the next one is found soon.
_PAUSE_SECONDS = 0.05
_MOST_FOR_NOTHING, _EARNED = 10.0, 0.1


class AnswerTimes:
    """How long the last answers took, in seconds; thread-safe."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_MEASURED)
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Record an answer."""
        with self._lock:
            self._seconds.append(seconds)

    def delay(self, timeout: float) -> float:
        """Return after how many seconds a request is sent again: what 95% of answers took.

        At least 0.05 s, and at most a third of the timeout, which is also the delay before
        there are 20 answers.
        """
        longest = timeout * _LONGEST_SHARE
        with self._lock:
            if len(self._seconds) < _MIN_MEASURED:
                return longest
            ordered = sorted(self._seconds)
        return min(longest, max(_SHORTEST, ordered[int(_SHARE * (len(ordered) - 1))]))


class HedgeBudget:
    """How many requests may be sent again because they are slow; thread-safe.

    A request that was sent again for nothing, as the first attempt answered first, costs one;
    each request earns a tenth of one. So where one copy is stuck each request to it is sent
    again, and where all are slow, as they have too much to do, they do not get double the work.
    """

    def __init__(self) -> None:
        self._left = _MOST_FOR_NOTHING
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a request."""
        with self._lock:
            self._left = min(_MOST_FOR_NOTHING, self._left + _EARNED)

    def take(self) -> bool:
        """Return whether a request may be sent again now, and take one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def give_back(self) -> None:
        """Give one back: the answer came from a request that was sent again."""
        with self._lock:
            self._left = min(_MOST_FOR_NOTHING, self._left + 1)


async def first_answer(
    ask: Callable[[int], Awaitable[T]],
    *,
    delay: float,
    timeout: float,
    budget: HedgeBudget,
    hedges: int = 1,
    retries: int = 3,
    again: Callable[[BaseException], bool] = lambda error: True,
) -> tuple[T, int]:
    """Return the first answer to a request, and the number of the attempt that gave it.

    `ask(n)` sends the attempt `n`, from 0. Where no attempt has answered after `delay` seconds
    another one is sent, at most `hedges` times and within the `budget`; one that fails is sent
    again at once, at most `retries` times, where `again` says of its error that this may help.
    The attempts that are left are cancelled.

    Raises TimeoutError after `timeout` seconds, and the error of the last attempt where all
    have failed.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout
    numbers: dict[asyncio.Future[T], int] = {}
    sent, error = 0, None
    hedged: set[int] = set()
    budget.earn()

    def send() -> None:
        nonlocal sent
        numbers[asyncio.ensure_future(ask(sent))] = sent
        sent += 1

    send()
    next_hedge = loop.time() + delay
    try:
        while True:
            now = loop.time()
            if now >= ends:
                raise TimeoutError(f"no answer in {timeout:g} s")
            until = min(ends, next_hedge) if hedges else ends
            done, _ = await asyncio.wait(
                numbers, timeout=max(0.0, until - now), return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                number = numbers.pop(attempt)
                failure = (
                    ConnectionError("the attempt was cancelled")
                    if attempt.cancelled()
                    else attempt.exception()
                )
                if failure is None:
                    if number in hedged:
                        budget.give_back()
                    return attempt.result(), number
                error = failure
            if done and not numbers:
                assert error is not None
                if not retries or not again(error):
                    raise error
                retries -= 1
                await asyncio.sleep(min(_PAUSE_SECONDS, max(0.0, ends - loop.time())))
                send()
            elif not done and hedges and loop.time() >= next_hedge:
                hedges -= 1
                next_hedge = loop.time() + delay
                if budget.take():
                    hedged.add(sent)
                    send()
    finally:
        for attempt in numbers:
            attempt.cancel()
