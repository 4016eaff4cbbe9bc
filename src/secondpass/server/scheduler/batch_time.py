"""The time of a batch by its work, estimated from the batches that ran."""

from __future__ import annotations

import math

# The share of the error of an estimate that one measurement removes; more of the first ones,
# so that their average counts. What waits is many batches: it is estimated from the last twenty
# or so. From five, one batch that other processes interrupted made a queue look full.
_SHARE = 0.05
# Below this share of a full batch it says little about the time for each unit of work.
_SMALL = 0.5
_INITIAL_RATE = 1000.0


class BatchTime:
    """Seconds of a batch: a constant, and a time for each unit of work.

    The constant matters: a pair that checks whether a model answers is hundreds of times less
    work than the candidates of a search, and takes a tenth of their time. An average of work
    over time would, after a quiet night with a check each second, promise a search a wait of
    minutes, and refuse it.

    Each measurement makes the least change that removes a constant share of the error
    (normalized least mean squares; Haykin, Adaptive Filter Theory, chapter 7), so small batches
    say little about the time for each unit of work. `usual_work`: the work of a full batch; 0
    is the largest that was measured.
    """

    def __init__(self, usual_work: float = 0.0) -> None:
        self._usual_work = usual_work
        self._per_batch, self._per_work = 0.0, 1 / _INITIAL_RATE
        self._counts = {True: 0, False: 0}

    @property
    def measured(self) -> bool:
        """Whether a batch was measured."""
        return any(self._counts.values())

    def estimate(self, batches: int, work: float) -> float:
        """Return the seconds of so many batches with so much work in all."""
        return batches * self._per_batch + work * self._per_work

    def work_within(self, seconds: float) -> float:
        """Return the work of a batch of so many seconds, at least 0; infinite if it is free."""
        left = max(0.0, seconds - self._per_batch)
        return left / self._per_work if self._per_work else math.inf

    def measure(self, work: float, seconds: float) -> None:
        """Learn from one batch; `work` is above 0."""
        if not self.measured:
            self._per_work = 0.0
        self._usual_work = max(self._usual_work, work)
        size = work / self._usual_work
        # Apart, as a night of small ones says nothing about the first large one.
        self._counts[size < _SMALL] += 1
        share = max(_SHARE, 1 / self._counts[size < _SMALL])
        step = share * (seconds - self.estimate(1, work)) / (1 + size * size)
        self._per_batch = max(0.0, self._per_batch + step)
        self._per_work = max(0.0, self._per_work + step * size / self._usual_work)
