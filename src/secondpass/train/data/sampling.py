"""Which passages a query is trained with, and in which order the queries come.

Every choice depends on the seed, the epoch and the group alone, so that a run which was
interrupted goes on with just the samples that it would have had.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from secondpass.errors import InputError
from secondpass.train.data.examples import Group

# Batches whose queries are put in order of length together, against padding.
CHUNK = 8
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """One group to learn from: its place, the positive, and the negatives."""

    group: int
    positive: int
    negatives: tuple[int, ...]

    @property
    def passages(self) -> tuple[int, ...]:
        """The positive, then the negatives."""
        return (self.positive, *self.negatives)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws samples with one positive and `size` - 1 negatives.

    `passages` is how many there are. Of the negatives at least `strangers` are any
    passages, if there is room for them; the rest are the group's own, as far as they go.
    `caps` says how many groups of a source an epoch has at most, "" for all the others.

    Raises InputError for settings that cannot be met.
    """

    groups: Sequence[Group]
    passages: int
    size: int
    batch: int
    seed: int = 0
    strangers: int = 2
    caps: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("the size of a group", self.size, 2),
            ("the size of a batch", self.batch, 1),
            ("the number of random negatives", self.strangers, 0),
            *((f"the cap of {source!r}", cap, 1) for source, cap in self.caps.items()),
        ):
            if value < least:
                raise InputError(f"{name} is too small", why=f"it is {value}, least {least}")
        if not self.groups:
            raise InputError("there are no groups to train on")
        most = max(len(group.positives) for group in self.groups)
        if self.passages < most + self.size - 1:
            raise InputError(
                f"there are too few passages for groups of {self.size}",
                why=f"there are {self.passages}, and a query has {most} positives",
                fix="Give more passages, or smaller groups.",
            )

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self._chosen(0)) // self.batch)

    def epoch(self, number: int) -> list[list[int]]:
        """Return the places of the groups of each batch of an epoch; the last may be short."""
        chance = random.Random(f"order {self.seed} {number}")
        places = self._chosen(number)
        chance.shuffle(places)
        batches = []
        span = self.batch * CHUNK
        for start in range(0, len(places), span):
            chunk = sorted(
                places[start : start + span], key=lambda i: len(self.groups[i].query)
            )
            batches += [chunk[at : at + self.batch] for at in range(0, len(chunk), self.batch)]
        chance.shuffle(batches)
        return batches

    def sample(self, place: int, epoch: int) -> Sample:
        """Return what an epoch learns from the group at that place."""
        group = self.groups[place]
        chance = random.Random(f"sample {self.seed} {epoch} {place}")
        positive = chance.choice(group.positives)
        wanted = self.size - 1
        own = list(group.negatives)
        room = max(0, wanted - self.strangers)
        negatives = own if len(own) <= room else chance.sample(own, room)
        return Sample(place, positive, fill(group, negatives, wanted, self.passages, chance))

    def _chosen(self, epoch: int) -> list[int]:
        if not self.caps:
            return list(range(len(self.groups)))
        by_source: dict[str, list[int]] = {}
        for place, group in enumerate(self.groups):
            by_source.setdefault(group.source, []).append(place)
        chosen = []
        for source, places in by_source.items():
            cap = self.caps.get(source, self.caps.get(""))
            if cap is not None and len(places) > cap:
                places = random.Random(f"cap {self.seed} {epoch} {source}").sample(places, cap)
            chosen += places
        return sorted(chosen)


def fill(
    group: Group, negatives: Sequence[int], wanted: int, passages: int, chance: random.Random
) -> tuple[int, ...]:
    """Return `negatives` and random passages besides, `wanted` in all, none of them twice.

    None is a positive of the group. There must be enough passages.
    """
    found = dict.fromkeys(negatives)
    taken = {*group.positives, *found}
    for _ in range(_TRIES * wanted):
        if len(found) >= wanted:
            return tuple(found)
        place = chance.randrange(passages)
        if place not in taken:
            taken.add(place)
            found[place] = None
    # Nearly all passages are taken: draw from what is left.
    left = [place for place in range(passages) if place not in taken]
    return (*found, *chance.sample(left, wanted - len(found)))
