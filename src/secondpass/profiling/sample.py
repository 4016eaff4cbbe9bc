"""A question and texts to measure with, where the user gives none."""

from __future__ import annotations

import random

QUESTION = "Which engine crossed the river?"
_WORDS = (
    *("river", "engine", "treaty", "carbon", "teacher", "market", "cell", "orbit", "bridge"),
    *("winter", "language", "museum", "protein", "harbour", "senate", "violin", "desert"),
    *("railway", "theory", "garden", "the", "of", "and", "in", "to", "was", "for"),
)


def sample_texts(count: int, words: int) -> list[str]:
    """Return `count` different texts of `words` words, the same ones each time.

    They mean nothing: how long a model takes depends on lengths alone.
    """
    chooser = random.Random(0)
    return [" ".join(chooser.choices(_WORDS, k=words)) for _ in range(count)]
