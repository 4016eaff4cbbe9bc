"""Real weights to integers, each rounding error made up for by the weights still to come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

# The largest integer of a weight; see `secondpass.train.export.quantize`.
WEIGHT_LEVEL = 63
DAMPING = 0.01
BLOCK = 64


def column_scales(weight: Float32, level: int = WEIGHT_LEVEL) -> Float32:
    """Return for each column of [inputs, outputs] the scale with least squared error."""
    peak = np.abs(weight).max(axis=0)
    peak = np.where(peak == 0, np.float32(1.0), peak)
    best = (peak / level).astype(np.float32)
    least = np.full(peak.shape, np.inf)
    for share in np.linspace(0.7, 1.0, 31):
        scale = (peak * share / level).astype(np.float32)
        error = ((nearest(weight, scale, level) * scale - weight) ** 2).sum(axis=0)
        better = error < least
        best[better], least[better] = scale[better], error[better]
    return best


def nearest(weight: Float32, scale: Float32, level: int = WEIGHT_LEVEL) -> NDArray[np.int8]:
    """Return the nearest integers within ±`level`."""
    levels = np.clip(np.rint(weight / scale), -level, level)
    return np.asarray(levels, dtype=np.int8)


def compensated(
    weight: Float32,
    scale: Float32,
    products: NDArray[np.float64],
    level: int = WEIGHT_LEVEL,
) -> NDArray[np.int8]:
    """Return integers whose outputs differ least from those of `weight` on real inputs.

    `weight` is [inputs, outputs], `scale` [outputs], `products` the sum over inputs x of
    x xᵀ, [inputs, inputs]. Rows are rounded one after another, and the error of each is
    spread over the rows not yet rounded, as the inputs are correlated (GPTQ, Frantar et
    al., 2022, https://arxiv.org/abs/2210.17323).
    """
    rows = len(weight)
    diagonal = np.diag(products)
    order = np.argsort(-diagonal, kind="stable")
    damped = products[np.ix_(order, order)] + np.eye(rows) * max(
        DAMPING * float(diagonal.mean()), 1e-8
    )
    # Upper Cholesky factor of the inverse: row i holds how the error of input i is shared.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight[order].astype(np.float64)
    found = np.empty(weight.shape, dtype=np.int8)
    for start in range(0, rows, BLOCK):
        block = slice(start, min(start + BLOCK, rows))
        errors = np.zeros_like(left[block])
        for row in range(block.start, block.stop):
            exact = left[row]
            rounded = np.clip(np.rint(exact / scale), -level, level)
            found[order[row]] = rounded.astype(np.int8)
            errors[row - start] = (exact - rounded * scale) / factor[row, row]
            after = slice(row + 1, block.stop)
            left[after] -= np.outer(factor[row, after], errors[row - start])
        left[block.stop :] -= factor[block, block.stop :].T @ errors
    return found
