"""How far below the k-th best early score the true top has been found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondpass.rerank.policies.margin import conformal

Float64 = NDArray[np.float64]

DEPTHS = (1, 3, 5, 10, 20)
CONFIDENCE = 0.95


def fit_line(early: Float64, final: Float64) -> tuple[float, float]:
    """Return scale and shift that bring early scores nearest to final ones, [scores]."""
    columns = np.stack([early, np.ones_like(early)], axis=1)
    scale, shift = np.linalg.lstsq(columns, final, rcond=None)[0].tolist()
    return float(scale), float(shift)


def needed(early: Float64, final: Float64, depths: Sequence[int] = DEPTHS) -> float:
    """Return the least margin that loses nothing of the top of one list, at any depth.

    Both are scores of the same candidates, [candidates]. Candidates within the margin of
    the k-th best early score are kept.
    """
    found = 0.0
    for depth in depths:
        if depth < len(final):
            top = final >= np.sort(final)[-depth]
            found = max(found, float(np.sort(early)[-depth] - early[top].min()))
    return found


def fit_margin(
    lists: Sequence[tuple[Float64, Float64]],
    *,
    depths: Sequence[int] = DEPTHS,
    confidence: float = CONFIDENCE,
) -> float | None:
    """Return a margin that keeps the whole top of a new list with that probability.

    See `conformal`; None where there are too few lists for it.
    """
    return conformal([needed(early, final, depths) for early, final in lists], confidence)
