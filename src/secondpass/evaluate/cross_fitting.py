"""Cross-fitting: settings are fitted on some queries and evaluated on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondpass.evaluate.score_matrix import FloatArray
from secondpass.evaluate.variants import QueryMask, RankedIds, SearchVariant

REPEATS = 10


@dataclass(frozen=True)
class NestedCrossFit:
    """The result of a nested cross-fit.

    `values` [queries] are held out; `choices` are the variant and setting that each of
    `folds` was evaluated with.
    """

    values: FloatArray
    choices: Sequence[tuple[SearchVariant, int]]
    folds: Sequence[QueryMask]

    def ranked_ids(self) -> RankedIds:
        """Return each query's ranked ids under the choice of its fold."""
        ranked: RankedIds = {}
        for (variant, setting), fold in zip(self.choices, self.folds, strict=True):
            ranked |= {
                query: ids
                for i, (query, ids) in enumerate(variant.ranked_ids(setting).items())
                if fold[i]
            }
        return ranked


def make_folds(n: int, folds: int, *, seed: int = 0) -> list[QueryMask]:
    """Return disjoint random masks over `n` queries, of equal size up to one."""
    order = np.random.default_rng(seed).permutation(n)
    masks = []
    for fold in range(folds):
        mask = np.zeros(n, dtype=np.bool_)
        mask[order[fold::folds]] = True
        masks.append(mask)
    return masks


def split_mask(queries: QueryMask, folds: int) -> list[QueryMask]:
    """Return disjoint masks that together are `queries`."""
    positions = np.flatnonzero(queries)
    masks = []
    for inner in make_folds(len(positions), folds):
        mask = np.zeros_like(queries)
        mask[positions[inner]] = True
        masks.append(mask)
    return masks


def random_halves(n: int, repeats: int = REPEATS) -> list[list[QueryMask]]:
    """Return several random splits of `n` queries into two halves.

    One split alone is luck: values are averaged over several of them.
    """
    return [make_folds(n, 2, seed=seed) for seed in range(repeats)]


def mean_cross_fit(variant: SearchVariant, splits: Sequence[Sequence[QueryMask]]) -> FloatArray:
    """Return each query's cross-fitted value, averaged over several splits, [queries]."""
    if len(variant.settings) == 1:
        only: FloatArray = variant.values[0]
        return only
    values: FloatArray = np.mean([cross_fit(variant, folds) for folds in splits], axis=0)
    return values


def cross_fit(variant: SearchVariant, folds: Sequence[QueryMask]) -> FloatArray:
    """Return each query's value under the setting fitted on the other folds, [queries].

    Queries of no fold have 0 and are not fitted on.
    """
    all_folds = np.logical_or.reduce(folds)
    values: FloatArray = np.zeros(variant.values.shape[1])
    for fold in folds:
        values[fold] = variant.values[variant.best_setting(all_folds & ~fold)][fold]
    return values


def choose_variant(
    variants: Sequence[SearchVariant], queries: QueryMask, *, folds: int = 5
) -> int:
    """Return the position of the variant with the best cross-fitted mean over some queries.

    Of equal ones the fastest is taken, then the shallowest.
    """
    masks = split_mask(queries, folds)
    means = [round(float(cross_fit(v, masks)[queries].mean()), 12) for v in variants]

    def key(i: int) -> tuple[float, float, int, int]:
        return -means[i], variants[i].latency_ms, variants[i].depth, i

    return min(range(len(variants)), key=key)


def nested_cross_fit(
    variants: Sequence[SearchVariant], outer_folds: Sequence[QueryMask], *, folds: int = 5
) -> NestedCrossFit:
    """Choose and fit on all outer folds but one, evaluate on that one, for each in turn.

    An unbiased estimate of what choosing and fitting reach. Source: Varma and Simon, BMC
    Bioinformatics 7:91, 2006.
    """
    values: FloatArray = np.zeros(variants[0].values.shape[1])
    choices: list[tuple[SearchVariant, int]] = []
    for fold in outer_folds:
        variant = variants[choose_variant(variants, ~fold, folds=folds)]
        setting = variant.best_setting(~fold)
        values[fold] = variant.values[setting][fold]
        choices.append((variant, setting))
    return NestedCrossFit(values, choices, outer_folds)
