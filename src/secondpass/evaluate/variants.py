"""Search variants: ways to search, with the settings that can be fitted to judgments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.evaluate.score_matrix import Matrix

Rows = NDArray[np.bool_]
"""[queries], which of them are meant."""
Settings = Mapping[str, Any]
Ranked = dict[str, list[str]]
Listed = dict[str, list[tuple[str, float | None]]]
"""By query, best first: the id that is judged, and the model's probability of each result."""


@dataclass(frozen=True)
class SearchVariant:
    """One way to search, with every setting that may be chosen for it.

    - `values`: [settings, queries], what each setting reaches on each query.
    - `settings`: the arguments of `Index.search` for each; the first is the default.
    - `cost`: milliseconds of a search, the first pass included.
    - `order`: "as found", "fusion", "blend", "alone" or "tuned blend".
    - `ranked`: gives the ranked ids of every query under a setting.
    - `listed`: gives the results with their probabilities; None without a second pass.
    """

    label: str
    settings: Sequence[Settings]
    values: Matrix
    cost: float
    order: str
    ranked: Callable[[int], Ranked] = field(repr=False)
    model: str | None = None
    mode: str = "hybrid"
    depth: int = 0
    listed: Callable[[int], Listed] | None = field(default=None, repr=False)

    def best(self, rows: Rows) -> int:
        """Return the setting with the highest mean over some queries; the first of equals."""
        return int(np.argmax(np.round(self.values[:, rows].mean(axis=1), 12)))
