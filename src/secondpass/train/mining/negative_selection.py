"""Which passages become the negatives of one query."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.train.mining.false_negatives import Filter

MEDIUM_FROM, MEDIUM_TO = 100, 1000
_TRIES = 50


@dataclass(frozen=True, slots=True)
class MineSettings:
    """How many negatives a query gets, and from where.

    - `hard`: drawn from the first `depth` of BM25 and of the embedder, without those among
      the first `skip` of either; `medium`: from ranks 100 to 1,000 of the embedder (in a
      corpus of fewer than 1,000, from a tenth of it or from `depth` on); `random`: from
      all passages. What cannot be filled is filled with the next kind.
    - `margin`: how far below the nearest positive's cosine a negative must stay; see
      `Filter`.
    - `seed`: the same seed gives the same negatives, whatever other queries there are.
    - `as_found`: instead of all that, the candidates of a search; see `candidates`. Then
      `hard`, `medium`, `random`, `skip` and `margin` say nothing.

    Raises InputError for a number that cannot be used.
    """

    hard: int = 8
    medium: int = 4
    random: int = 4
    depth: int = 50
    skip: int = 0
    margin: float = 0.05
    seed: int = 0
    as_found: bool = False

    def __post_init__(self) -> None:
        for name in ("hard", "medium", "random", "skip", "seed"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise _unusable(name, value, "a whole number from 0 up")
        if type(self.depth) is not int or self.depth < 1:
            raise _unusable("depth", self.depth, "a whole number from 1 up")
        if self.skip >= self.depth:
            raise _unusable("skip", self.skip, f"less than depth, which is {self.depth}")
        if type(self.margin) not in (int, float) or not -2 <= self.margin <= 2:
            raise _unusable("margin", self.margin, "a number from -2 to 2")
        if self.total == 0 and not self.as_found:
            raise InputError("no negatives are asked for", fix="Give hard, medium or random.")

    @property
    def total(self) -> int:
        """How many negatives a query gets, where there are so many."""
        return self.hard + self.medium + self.random


@dataclass(frozen=True, slots=True)
class Chosen:
    """The negatives of one query by kind, as places in the passages."""

    hard: list[int]
    medium: list[int]
    random: list[int]


def nearest_first(cosines: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the places of the `count` highest cosines, highest first, ties by place."""
    if count < len(cosines):
        # All that tie with the last one are looked at, so that its place decides.
        least = np.partition(cosines, len(cosines) - count)[len(cosines) - count]
        places = np.flatnonzero(cosines >= least)
    else:
        places = np.arange(len(cosines))
    return places[np.argsort(-cosines[places], kind="stable")][:count]


def choose(by_words: Sequence[int], rules: Filter, settings: MineSettings) -> Chosen:
    """Choose the negatives of `rules.group`; its own are neither chosen again nor counted.

    `by_words` is BM25's ranking, best first. Where the margin leaves too few near ones, as
    for a positive that the embedder finds far away, what shares words but is farther still
    counts as hard, and medium and random ones take the free places.
    """
    draw = random.Random(f"{settings.seed}\n{clean(rules.group.query)}")
    by_meaning = nearest_first(rules.cosines, max(settings.depth, MEDIUM_TO)).tolist()
    ceiling = rules.ceiling
    depth, skip = settings.depth, settings.skip
    taken = dict.fromkeys([*rules.group.negatives, *by_words[:skip], *by_meaning[:skip]])

    near = list(dict.fromkeys([*by_words[:depth], *by_meaning[:depth]]))
    hard = rules.passing(draw.sample(near, len(near)), settings.hard, ceiling, taken)
    taken |= dict.fromkeys(hard)

    start = max(depth, min(MEDIUM_FROM, len(rules.cosines) // 10))
    band = by_meaning[start:MEDIUM_TO]
    wanted = settings.hard + settings.medium - len(hard)
    medium = rules.passing(draw.sample(band, len(band)), wanted, ceiling, taken)
    taken |= dict.fromkeys(medium)

    wanted = settings.total - len(hard) - len(medium)
    tries = min(len(rules.cosines), _TRIES * max(wanted, 1) + len(taken))
    anywhere = draw.sample(range(len(rules.cosines)), tries)
    return Chosen(hard, medium, rules.passing(anywhere, wanted, rules.loose_ceiling, taken))


def candidates(
    by_words: Sequence[int], rules: Filter, settings: MineSettings
) -> tuple[list[int], list[int]]:
    """Return the positives and the negatives among what both first stages find.

    The first `depth` of BM25 and of the embedder, negatives in random order. A positive
    that is not found teaches nothing that a reranker can use, and one that is far from the
    query, set against negatives that are near, teaches that near is wrong. No margin is
    kept: it would take out the candidates that the order is decided among.
    """
    draw = random.Random(f"{settings.seed}\n{clean(rules.group.query)}")
    by_meaning = nearest_first(rules.cosines, settings.depth).tolist()
    found = list(dict.fromkeys([*by_words[: settings.depth], *by_meaning]))
    positives = [place for place in rules.group.positives if place in set(found)]
    others = draw.sample(found, len(found))
    return positives, rules.passing(others, len(others), math.inf, {})


def _unusable(name: str, value: object, wanted: str) -> InputError:
    return InputError(f"{name} cannot be used", why=f"it is {value!r}", fix=f"Give {wanted}.")
