"""Selection of the negatives of one query, by kind: hard, medium, random."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.train.mining.false_negatives import FalseNegativeFilter

MEDIUM_FROM, MEDIUM_TO = 100, 1000
_TRIES = 50


@dataclass(frozen=True, slots=True)
class MineSettings:
    """How many negatives a query gets, and from where.

    - `hard`: drawn from the first `depth` of BM25 and of the embedder, without those among
      the first `skip` of either; `medium`: from ranks 100 to 1,000 of the embedder (in a
      corpus of fewer than 1,000, from a tenth of it or from `depth` on); `random`: from
      all passages. Where a kind has too few, the next kind makes up for it.
    - `margin`: how far below the nearest positive's cosine a negative must stay; see
      `FalseNegativeFilter`.
    - `seed`: the same seed gives the same negatives, whatever other queries there are.
    - `as_found`: instead of all that, the candidates of a search; see `select_retrieved`.
      Then `hard`, `medium`, `random`, `skip` and `margin` have no effect.

    Raises InputError for an invalid number.
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
                raise _invalid(name, value, "a whole number from 0 up")
        if type(self.depth) is not int or self.depth < 1:
            raise _invalid("depth", self.depth, "a whole number from 1 up")
        if self.skip >= self.depth:
            raise _invalid("skip", self.skip, f"less than depth, which is {self.depth}")
        if type(self.margin) not in (int, float) or not -2 <= self.margin <= 2:
            raise _invalid("margin", self.margin, "a number from -2 to 2")
        if self.total == 0 and not self.as_found:
            raise InputError(
                "no negatives are requested", fix="Give hard, medium or random above 0."
            )

    @property
    def total(self) -> int:
        """How many negatives a query gets, if there are so many."""
        return self.hard + self.medium + self.random


@dataclass(frozen=True, slots=True)
class SelectedNegatives:
    """The negatives of one query by kind, as indices of passages."""

    hard: list[int]
    medium: list[int]
    random: list[int]


def top_by_cosine(cosines: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the indices of the `count` highest cosines, highest first, ties by index."""
    if count < len(cosines):
        # All that tie with the last one take part, so that the index decides among them.
        lowest = np.partition(cosines, len(cosines) - count)[len(cosines) - count]
        indices = np.flatnonzero(cosines >= lowest)
    else:
        indices = np.arange(len(cosines))
    return indices[np.argsort(-cosines[indices], kind="stable")][:count]


def select_negatives(
    bm25_ranking: Sequence[int], rules: FalseNegativeFilter, settings: MineSettings
) -> SelectedNegatives:
    """Select negatives of `rules.group`; those that it has are neither repeated nor counted.

    `bm25_ranking` is best first. Where the margin leaves too few near passages, as for a
    positive that the embedder ranks low, passages that share words with the query but have
    a lower cosine count as hard, and medium and random ones make up for the rest.
    """
    rng = random.Random(f"{settings.seed}\n{clean(rules.group.query)}")
    vector_ranking = top_by_cosine(rules.cosines, max(settings.depth, MEDIUM_TO)).tolist()
    max_cosine = rules.max_cosine
    depth, skip = settings.depth, settings.skip
    excluded = dict.fromkeys(
        [*rules.group.negatives, *bm25_ranking[:skip], *vector_ranking[:skip]]
    )

    near = list(dict.fromkeys([*bm25_ranking[:depth], *vector_ranking[:depth]]))
    hard = rules.select(rng.sample(near, len(near)), settings.hard, max_cosine, excluded)
    excluded |= dict.fromkeys(hard)

    start = max(depth, min(MEDIUM_FROM, len(rules.cosines) // 10))
    band = vector_ranking[start:MEDIUM_TO]
    count = settings.hard + settings.medium - len(hard)
    medium = rules.select(rng.sample(band, len(band)), count, max_cosine, excluded)
    excluded |= dict.fromkeys(medium)

    count = settings.total - len(hard) - len(medium)
    tries = min(len(rules.cosines), _TRIES * max(count, 1) + len(excluded))
    anywhere = rng.sample(range(len(rules.cosines)), tries)
    return SelectedNegatives(
        hard, medium, rules.select(anywhere, count, rules.max_random_cosine, excluded)
    )


def select_retrieved(
    bm25_ranking: Sequence[int], rules: FalseNegativeFilter, settings: MineSettings
) -> tuple[list[int], list[int]]:
    """Return the positives and the negatives among what both first stages retrieve.

    That is the first `depth` of BM25 and of the embedder, negatives in random order. A
    positive that is not retrieved teaches nothing that a reranker can use, and one that is far
    from the query, beside negatives that are near, teaches that near is wrong. No margin is
    kept: it would take out the candidates that the order is decided among.
    """
    rng = random.Random(f"{settings.seed}\n{clean(rules.group.query)}")
    vector_ranking = top_by_cosine(rules.cosines, settings.depth).tolist()
    retrieved = list(dict.fromkeys([*bm25_ranking[: settings.depth], *vector_ranking]))
    positives = [passage for passage in rules.group.positives if passage in set(retrieved)]
    others = rng.sample(retrieved, len(retrieved))
    return positives, rules.select(others, len(others), math.inf, {})


def _invalid(name: str, value: object, valid: str) -> InputError:
    return InputError(f"{name} is not valid", why=f"it is {value!r}", fix=f"Give {valid}.")
