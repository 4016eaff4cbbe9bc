"""Cutting a ranking where its scores jump."""

from __future__ import annotations

from collections.abc import Sequence


def autocut(scores: Sequence[float], jumps: int) -> int:
    """Return how many results stand before the given number of jumps, all if there are fewer.

    Scores, or distances, are scaled from the first to the last; a jump is where they are
    further from a straight line than at both neighbours. As the database does it. `jumps`
    below 1 cuts nothing.
    """
    if len(scores) <= 1 or jumps < 1 or scores[0] == scores[-1]:
        return len(scores)
    step, span = 1 / (len(scores) - 1), scores[-1] - scores[0]
    above = [(score - scores[0]) / span - step * i for i, score in enumerate(scores)]
    # The last one has no neighbour after it.
    above.append(above[-3] if len(above) > 2 else above[-2])
    found = 0
    for i in range(1, len(scores)):
        if above[i] > above[i - 1] and above[i] > above[i + 1]:
            found += 1
            if found == jumps:
                return i
    return len(scores)
