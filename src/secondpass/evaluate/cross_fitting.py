"""Fitting on some queries and judging on others, so that no query judges its own fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.evaluate.score_matrix import Matrix
from secondpass.evaluate.variants import Ranked, Rows, SearchVariant

REPEATS = 10


@dataclass(frozen=True)
class NestedCrossFit:
    """What each fold was judged by: `values` [queries], and the way and setting it got."""

    values: Matrix
    picks: Sequence[tuple[SearchVariant, int]]
    folds: Sequence[Rows]

    def ranked(self) -> Ranked:
        """Return each query's ranked ids under what its fold was judged by."""
        ranked: Ranked = {}
        for (family, setting), fold in zip(self.picks, self.folds, strict=True):
            under = family.ranked(setting)
            ranked |= {q: ids for i, (q, ids) in enumerate(under.items()) if fold[i]}
        return ranked


def split(n: int, parts: int, *, seed: int = 0) -> list[Rows]:
    """Return `parts` disjoint masks over `n` queries, of equal size up to one, seeded."""
    order = np.random.default_rng(seed).permutation(n)
    masks = []
    for part in range(parts):
        mask = np.zeros(n, dtype=np.bool_)
        mask[order[part::parts]] = True
        masks.append(mask)
    return masks


def within(rows: Rows, parts: int) -> list[Rows]:
    """Return `parts` disjoint masks that together are `rows`."""
    places = np.flatnonzero(rows)
    masks = []
    for inner in split(len(places), parts):
        mask = np.zeros_like(rows)
        mask[places[inner]] = True
        masks.append(mask)
    return masks


def halves(n: int, times: int = REPEATS) -> list[list[Rows]]:
    """Return `times` ways to cut `n` queries into two halves.

    One cut alone is luck: what is measured over several is averaged for each query.
    """
    return [split(n, 2, seed=seed) for seed in range(times)]


def averaged(family: SearchVariant, splits: Sequence[Sequence[Rows]]) -> Matrix:
    """Return each query's cross-fitted value, the mean over several ways to split."""
    if len(family.settings) == 1:
        only: Matrix = family.values[0]
        return only
    values: Matrix = np.mean([cross_fitted(family, folds) for folds in splits], axis=0)
    return values


def cross_fitted(family: SearchVariant, folds: Sequence[Rows]) -> Matrix:
    """Return each query's value under the setting fitted on the other folds, [queries].

    Queries of no fold have 0 and no say.
    """
    every = np.logical_or.reduce(folds)
    values: Matrix = np.zeros(family.values.shape[1])
    for fold in folds:
        values[fold] = family.values[family.best(every & ~fold)][fold]
    return values


def choose(families: Sequence[SearchVariant], rows: Rows, *, parts: int = 5) -> int:
    """Return which family is best by its cross-fitted mean over some queries.

    Of equal ones the one of the least cost is taken, then the shallowest.
    """
    folds = within(rows, parts)
    means = [round(float(cross_fitted(f, folds)[rows].mean()), 12) for f in families]

    def order(i: int) -> tuple[float, float, int, int]:
        return -means[i], families[i].cost, families[i].depth, i

    return min(range(len(families)), key=order)


def nested(
    families: Sequence[SearchVariant], folds: Sequence[Rows], *, parts: int = 5
) -> NestedCrossFit:
    """Choose and fit on all folds but one, judge on that one, for each in turn.

    An honest estimate of what choosing and fitting reach. Source: Varma and Simon, BMC
    Bioinformatics 7:91, 2006.
    """
    values: Matrix = np.zeros(families[0].values.shape[1])
    picks: list[tuple[SearchVariant, int]] = []
    for fold in folds:
        family = families[choose(families, ~fold, parts=parts)]
        setting = family.best(~fold)
        values[fold] = family.values[setting][fold]
        picks.append((family, setting))
    return NestedCrossFit(values, picks, folds)
