"""Long documents: cut into overlapping windows, scored one by one, put together again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.errors import InputError, nearest

_TOP_MEAN = re.compile(r"top-([1-9]\d*)-mean")
_KNOWN = ("max", "mean", "first", "top-2-mean")


@dataclass(frozen=True, slots=True)
class Passages:
    """How a document longer than one window is read.

    - `aggregate`: "max" (the best window), "mean", "first" (only the first window is
      read) or "top-N-mean" (the mean of the best N).
    - `overlap`: the share of a window that the next one repeats, 0 to 0.9.
    - `limit`: the most windows read of one document, at least 1; what lies behind them
      is reported as unread.

    Raises `InputError` for anything else.
    """

    aggregate: str = "max"
    overlap: float = 0.25
    limit: int = 8

    def __post_init__(self) -> None:
        if not isinstance(self.aggregate, str) or not (
            self.aggregate in _KNOWN or _TOP_MEAN.fullmatch(self.aggregate)
        ):
            raise InputError(
                f"Unknown way to aggregate passages: {self.aggregate!r}",
                fix=nearest(str(self.aggregate), _KNOWN),
            )
        if not 0 <= self.overlap <= 0.9:
            raise InputError(f"overlap must be from 0 to 0.9, not {self.overlap!r}")
        if self.limit < 1:
            raise InputError(f"limit must be at least 1 window, not {self.limit!r}")

    @property
    def most(self) -> int:
        """The most windows that will be read of one document."""
        return 1 if self.aggregate == "first" else self.limit

    def windows(self, tokens: int, size: int) -> list[tuple[int, int]]:
        """Return [start, end) of each window of `size` over a text of `tokens` tokens.

        An empty text has one empty window. The last window of a text that is read to its
        end is moved back to be full, so that no window is a mere scrap.
        """
        if tokens <= size:
            return [(0, tokens)]
        stride = max(1, size - int(size * self.overlap))
        spans = [(0, size)]
        while len(spans) < self.most and spans[-1][1] < tokens:
            start = min(spans[-1][0] + stride, tokens - size)
            spans.append((start, start + size))
        return spans

    def combine(self, scores: Sequence[float]) -> float:
        """Return one score for a document from the scores of its windows, at least one."""
        if self.aggregate == "max":
            return max(scores)
        if self.aggregate == "mean":
            return sum(scores) / len(scores)
        if self.aggregate == "first":
            return scores[0]
        match = _TOP_MEAN.fullmatch(self.aggregate)
        assert match is not None  # held by __post_init__
        best = sorted(scores, reverse=True)[: int(match[1])]
        return sum(best) / len(best)


def parse_passages(value: str | Passages | None) -> Passages:
    """Return `value` as `Passages`; a string names the aggregate, None is the default."""
    if value is None:
        return Passages()
    return value if isinstance(value, Passages) else Passages(value)
