"""Everything that was measured, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.comparison import Difference
from harness.results import Measured
from harness.targets import Bar


def dump(
    measured: Measured,
    queries: Mapping[str, Sequence[str]],
    bars: Sequence[Bar],
    differences: Sequence[Difference],
) -> dict[str, Any]:
    """Return the values of every question, the weights, the bars and the comparison."""
    return {
        "ndcg10": {
            setting: {
                system: {
                    name: dict(zip(queries[name], array.tolist(), strict=True))
                    for name, array in values.items()
                }
                for system, values in systems.items()
            }
            for setting, systems in measured.values.items()
        },
        "mean_ndcg10": {
            setting: {system: measured.mean(setting, system) for system in systems}
            for setting, systems in measured.values.items()
        },
        "recall": measured.recall,
        "weights": {n: asdict(f) for n, f in {**measured.fits, **measured.others}.items()},
        "bars": [asdict(bar) for bar in bars],
        "comparison": [asdict(difference) for difference in differences],
    }
