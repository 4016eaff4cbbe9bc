"""Sampling: which passages a query is trained with, and the order of the queries.

Every choice depends on the seed, the epoch and the group alone, so that a resumed run draws
the same samples as one that was never interrupted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from secondpass.errors import InputError
from secondpass.train.data.examples import Group

# Queries of this many batches are sorted by length together, to reduce padding.
SORTED_BATCHES = 8
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """A training sample: the index of its group, one positive, and negatives."""

    group: int
    positive: int
    negatives: tuple[int, ...]

    @property
    def passages(self) -> tuple[int, ...]:
        """The positive, then the negatives."""
        return (self.positive, *self.negatives)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws samples of one positive and `size` - 1 negatives.

    `passages` is the number of passages. At least `random_negatives` of the negatives are
    drawn from all passages, if possible; the rest are the group's own, as far as they go.
    `caps` limits the groups of a source in an epoch; the key "" is for all other sources.

    Raises InputError for settings that cannot be met.
    """

    groups: Sequence[Group]
    passages: int
    size: int
    batch: int
    seed: int = 0
    random_negatives: int = 2
    caps: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, minimum in (
            ("the size of a group", self.size, 2),
            ("the size of a batch", self.batch, 1),
            ("the number of random negatives", self.random_negatives, 0),
            *((f"the cap of {source!r}", cap, 1) for source, cap in self.caps.items()),
        ):
            if value < minimum:
                raise InputError(
                    f"{name} is too small", why=f"it is {value}, the minimum is {minimum}"
                )
        if not self.groups:
            raise InputError("there are no groups to train on")
        max_positives = max(len(group.positives) for group in self.groups)
        if self.passages < max_positives + self.size - 1:
            raise InputError(
                f"there are too few passages for groups of {self.size}",
                why=f"there are {self.passages}, and a query has {max_positives} positives",
                fix="Give more passages, or smaller groups.",
            )

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return -(-len(self._epoch_groups(0)) // self.batch)

    def epoch(self, number: int) -> list[list[int]]:
        """Return the group indices of each batch of an epoch; the last batch may be short."""
        rng = random.Random(f"order {self.seed} {number}")
        indices = self._epoch_groups(number)
        rng.shuffle(indices)
        batches = []
        span = self.batch * SORTED_BATCHES
        for start in range(0, len(indices), span):
            by_length = sorted(
                indices[start : start + span], key=lambda i: len(self.groups[i].query)
            )
            batches += [
                by_length[i : i + self.batch] for i in range(0, len(by_length), self.batch)
            ]
        rng.shuffle(batches)
        return batches

    def sample(self, index: int, epoch: int) -> Sample:
        """Return the sample of an epoch for the group at that index."""
        group = self.groups[index]
        rng = random.Random(f"sample {self.seed} {epoch} {index}")
        positive = rng.choice(group.positives)
        count = self.size - 1
        own = list(group.negatives)
        max_own = max(0, count - self.random_negatives)
        negatives = own if len(own) <= max_own else rng.sample(own, max_own)
        return Sample(
            index, positive, fill_with_random(group, negatives, count, self.passages, rng)
        )

    def _epoch_groups(self, epoch: int) -> list[int]:
        """Return the indices of the groups in an epoch, with the caps of sources applied."""
        if not self.caps:
            return list(range(len(self.groups)))
        by_source: dict[str, list[int]] = {}
        for index, group in enumerate(self.groups):
            by_source.setdefault(group.source, []).append(index)
        selected = []
        for source, indices in by_source.items():
            cap = self.caps.get(source, self.caps.get(""))
            if cap is not None and len(indices) > cap:
                rng = random.Random(f"cap {self.seed} {epoch} {source}")
                indices = rng.sample(indices, cap)
            selected += indices
        return sorted(selected)


def fill_with_random(
    group: Group, negatives: Sequence[int], count: int, passages: int, rng: random.Random
) -> tuple[int, ...]:
    """Return `negatives` followed by random passages, `count` in all, without duplicates.

    None is a positive of the group. There must be enough passages.
    """
    filled = dict.fromkeys(negatives)
    excluded = {*group.positives, *filled}
    for _ in range(_TRIES * count):
        if len(filled) >= count:
            return tuple(filled)
        index = rng.randrange(passages)
        if index not in excluded:
            excluded.add(index)
            filled[index] = None
    # Nearly all passages are excluded: draw from the rest.
    rest = [index for index in range(passages) if index not in excluded]
    return (*filled, *rng.sample(rest, count - len(filled)))
