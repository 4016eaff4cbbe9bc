"""How the learning rate rises and falls."""

from __future__ import annotations

import math

from secondpass.train.trainer.settings import Decay


def rate_at(share: float, warm_up: float, decay: Decay, floor: float) -> float:
    """Return the factor, 0 to 1, of the learning rate when `share` of the run is done.

    It rises in a line from 0 at the start to 1 at `warm_up`, then falls to `floor` at 1.
    """
    share = min(max(share, 0.0), 1.0)
    if share < warm_up:
        return share / warm_up
    rest = 0.0 if warm_up >= 1 else (share - warm_up) / (1 - warm_up)
    left = 1 - rest if decay == "linear" else (1 + math.cos(math.pi * rest)) / 2
    return floor + (1 - floor) * left
