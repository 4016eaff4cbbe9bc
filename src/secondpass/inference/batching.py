"""Which sequences share a batch, and how long its rows are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """Positions of the sequences in one batch and the length they are padded to."""

    rows: tuple[int, ...]
    length: int


def plan_batches(
    lengths: Sequence[int], *, token_budget: int, step: int, longest: int
) -> Iterator[Batch]:
    """Yield batches of sequences of one padded length, shortest first.

    Each sequence is padded to the next multiple of `step`, at most `longest`, which is a
    function of its own length alone: its neighbours in the batch can then not change its
    arithmetic, and so not its score. A batch holds at most `token_budget` tokens, or one
    sequence.
    """
    padded = [min(-(-n // step) * step, max(longest, n)) for n in lengths]
    order = sorted(range(len(lengths)), key=padded.__getitem__)
    start = 0
    while start < len(order):
        length = padded[order[start]]
        most = max(1, token_budget // max(1, length))
        stop = start
        while stop < len(order) and stop - start < most and padded[order[stop]] == length:
            stop += 1
        yield Batch(tuple(order[start:stop]), length)
        start = stop
