"""Results that are likely enough to be relevant."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.errors import InputError
from secondpass.types import RankedDocument


def likely(
    results: Sequence[RankedDocument], least: float, model: str
) -> tuple[list[RankedDocument], str | None]:
    """Return the results with a probability of at least `least`, and why there are none.

    What was not scored has no probability and is dropped with them; where nothing was scored
    at all, since something else stood in for the model, everything stays. Raises `InputError`
    for a model that scores without giving probabilities.
    """
    if not any(r.scored for r in results):
        return [*results], None
    if any(r.scored and r.probability is None for r in results):
        raise InputError(
            "min_probability cannot be applied",
            where=f"model {model}",
            why="it gives no probabilities",
            fix="Calibrate it with: secondpass calibrate",
        )
    kept = [r for r in results if r.probability is not None and r.probability >= least]
    if kept or not results:
        return kept, None
    best = max((r.probability for r in results if r.probability is not None), default=0.0)
    return [], (
        f"no good answer: the likeliest of {len(results)} has a probability of {best:.3f}, "
        f"and at least {least:g} was asked for"
    )
