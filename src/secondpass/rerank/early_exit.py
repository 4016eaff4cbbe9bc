"""Early exit: which candidates can be among the first, by an early score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.errors import InputError


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """How an early score predicts the final score.

    - `scale`, `shift`: turn it into log-odds, the unit of the final score.
    - `margin`: how far below the k-th best early score a candidate may be and still be read to
      the end, in log-odds, 0 or more.
    - `confidence`: the share of lists whose whole top that margin is to keep, fitted on `lists`
      of them.
    """

    scale: float
    shift: float
    margin: float
    confidence: float
    lists: int

    @classmethod
    def from_object(cls, entry: Mapping[str, Any]) -> EarlyExit:
        """Parse a manifest's object; raises ValueError, KeyError or TypeError if not valid."""
        early_exit = cls(
            float(entry["scale"]),
            float(entry["shift"]),
            float(entry["margin"]),
            float(entry["confidence"]),
            int(entry["lists"]),
        )
        numbers = (early_exit.scale, early_exit.shift, early_exit.margin, early_exit.confidence)
        if (
            not all(map(math.isfinite, numbers))
            or early_exit.scale <= 0
            or early_exit.margin < 0
        ):
            raise ValueError(f"an exit of {entry}")
        return early_exit


def can_reach_top(early: Sequence[float], top_k: int, margin: float) -> list[bool]:
    """Return for each early score whether its candidate can be among the first `top_k`.

    At least `top_k` can, or all where there are no more.
    """
    if top_k >= len(early):
        return [True] * len(early)
    threshold = sorted(early, reverse=True)[top_k - 1] - margin
    return [score >= threshold for score in early]


def lower_below(lowest: float, early: Sequence[float]) -> list[float]:
    """Return early scores, all lowered by the same amount so that none is above `lowest`."""
    excess = max(0.0, max(early, default=lowest) - lowest)
    # Adding and subtracting may round upwards by a bit.
    return [min(score - excess, lowest) for score in early]


def early_exit_unsupported(model: str) -> InputError:
    """Return the error for `early_exit` of a model that does not support it."""
    return InputError(
        "The model does not support early_exit",
        where=f"model {model}",
        fix="Leave early_exit and early_exit_at out, or export the model again; secondpass "
        "export --help says which models support it.",
    )
