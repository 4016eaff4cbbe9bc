"""Which candidates can still be among the first, judged by an early score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.errors import InputError


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """How far an early score may be trusted.

    - `scale`, `shift`: what makes log-odds of it, the same unit as the final score.
    - `margin`: how far below the k-th best early score a candidate may lie and still be
      read on, in log-odds, 0 or more.
    - `confidence`: the share of lists of which that margin kept the whole top, fitted on
      `lists` of them.
    """

    scale: float
    shift: float
    margin: float
    confidence: float
    lists: int

    @classmethod
    def from_object(cls, said: Mapping[str, Any]) -> EarlyExit:
        """Read a manifest's object; raises ValueError, KeyError or TypeError if it cannot."""
        found = cls(
            float(said["scale"]),
            float(said["shift"]),
            float(said["margin"]),
            float(said["confidence"]),
            int(said["lists"]),
        )
        numbers = (found.scale, found.shift, found.margin, found.confidence)
        if not all(map(math.isfinite, numbers)) or found.scale <= 0 or found.margin < 0:
            raise ValueError(f"an exit of {said}")
        return found


def reachable(early: Sequence[float], top_k: int, margin: float) -> list[bool]:
    """Return for each early score whether its candidate may be among the first `top_k`.

    At least `top_k` may, or all where there are no more.
    """
    if top_k >= len(early):
        return [True] * len(early)
    least = sorted(early, reverse=True)[top_k - 1] - margin
    return [score >= least for score in early]


def below(lowest: float, early: Sequence[float]) -> list[float]:
    """Return early scores, all lowered by the same amount where one is above `lowest`."""
    excess = max(0.0, max(early, default=lowest) - lowest)
    # Adding and subtracting may round upwards by a bit.
    return [min(score - excess, lowest) for score in early]


def no_exits(model: str) -> InputError:
    """Return the error for `exits` of a model without any."""
    return InputError(
        "The model has no exits",
        where=f"model {model}",
        fix="Leave exits=True out, or export the model again; secondpass export --help "
        "says which have exits.",
    )
