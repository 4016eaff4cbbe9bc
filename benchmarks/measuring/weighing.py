"""Fusion weights of one way to fuse, fitted with each collection left out in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from measuring.fusions import FUSIONS, STANDARD, spreads
from secondpass.evaluate.blend_weights import UNITS, Columns, Point, leave_one_out, weighted_sum
from secondpass.evaluate.score_matrix import FloatArray, ScoreMatrix, ndcg

Weights = Mapping[str, float]
Pools = Mapping[str, Mapping[str, ScoreMatrix]]
"""By collection, then by setting."""


@dataclass(frozen=True)
class Fit:
    """Weights by collection, each fitted on all the others; `everywhere` on all of them.

    The largest weight is 1. With a single collection there is nothing left to fit on and
    `held` is empty.
    """

    fusion: str
    held: Mapping[str, Weights]
    everywhere: Weights

    def scores(self, collection: str, pool: ScoreMatrix) -> FloatArray:
        """Return the fused scores of a collection by weights that never saw it."""
        return weighted_sum(FUSIONS[self.fusion](pool), self.held[collection])


def fit(pools: Pools, names: Sequence[str], fusion: str = STANDARD) -> Fit:
    """Fit the weights of the named columns.

    One set of weights serves every setting, as in `Index.search`: what is maximised is the
    mean nDCG@10 over collections of its mean over settings.
    """
    prepare = FUSIONS[fusion]
    scales = (
        dict.fromkeys(names, 1.0)
        if fusion == STANDARD
        else spreads([p for settings in pools.values() for p in settings.values()], prepare)
    )

    def weights(point: Point) -> Weights:
        return {n: x / UNITS / scales[n] for n, x in zip(names, point, strict=True)}

    def value(settings: Mapping[str, ScoreMatrix]) -> Callable[[Point], float]:
        # A given list of candidates is the same pool in every setting.
        once = list({id(pool): pool for pool in settings.values()}.values())
        prepared: list[tuple[ScoreMatrix, Columns]] = [(pool, prepare(pool)) for pool in once]

        def mean(point: Point) -> float:
            values = [
                ndcg(p, weighted_sum(columns, weights(point))).mean() for p, columns in prepared
            ]
            return float(sum(values) / len(values))

        return mean

    held, everywhere = leave_one_out({n: value(s) for n, s in pools.items()}, len(names))
    return Fit(
        fusion,
        {name: _normalised(weights(point)) for name, point in held.items()},
        {n: round(w, 3) for n, w in _normalised(weights(everywhere)).items()},
    )


def _normalised(weights: Weights) -> Weights:
    largest = max(weights.values())
    return {name: weight / largest for name, weight in weights.items()}
