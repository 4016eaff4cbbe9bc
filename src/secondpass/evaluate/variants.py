"""Search variants: ways to search, with the settings that can be fitted to judgments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.evaluate.score_matrix import FloatArray

QueryMask = NDArray[np.bool_]
"""[queries], which of them are selected."""
Settings = Mapping[str, Any]
RankedIds = dict[str, list[str]]
"""By query, best first."""
RankedProbabilities = dict[str, list[tuple[str, float | None]]]
"""By query, best first: the judged id and the model's probability of each result."""


@dataclass(frozen=True)
class SearchVariant:
    """A way to search, with every setting that may be chosen for it.

    - `values`: [settings, queries], the measure under each setting.
    - `settings`: the arguments of `Index.search` for each; the first is the default.
    - `latency_ms`: milliseconds of a search, the first pass included.
    - `order`: "as found", "fusion", "blend", "alone", "tuned blend", "tuned blend with
      neighbors" or "blend, rescored by" or "blend, questions rescored by" a model, which is
      `rescorer`.
    - `ranked_ids`: returns the ranked ids of every query under a setting.
    - `ranked_probabilities`: returns the results with their probabilities; None without a
      second pass.
    """

    label: str
    settings: Sequence[Settings]
    values: FloatArray
    latency_ms: float
    order: str
    ranked_ids: Callable[[int], RankedIds] = field(repr=False)
    model: str | None = None
    mode: str = "hybrid"
    depth: int = 0
    ranked_probabilities: Callable[[int], RankedProbabilities] | None = field(
        default=None, repr=False
    )
    rescorer: str | None = None

    def best_setting(self, queries: QueryMask) -> int:
        """Return the setting with the highest mean over some queries; the first of equals."""
        return int(np.argmax(np.round(self.values[:, queries].mean(axis=1), 12)))
