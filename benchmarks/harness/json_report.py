"""The results as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.comparison import Difference
from harness.results import QualityResults
from harness.targets import Target


def results_as_json(
    results: QualityResults,
    queries: Mapping[str, Sequence[str]],
    targets: Sequence[Target],
    differences: Sequence[Difference],
) -> dict[str, Any]:
    """Return the values of every question, the weights, the targets and the comparison."""
    return {
        "ndcg10": {
            setting: {
                system: {
                    name: dict(zip(queries[name], array.tolist(), strict=True))
                    for name, array in values.items()
                }
                for system, values in systems.items()
            }
            for setting, systems in results.values.items()
        },
        "mean_ndcg10": {
            setting: {system: results.mean(setting, system) for system in systems}
            for setting, systems in results.values.items()
        },
        "recall": results.recall,
        "weights": {n: asdict(f) for n, f in {**results.fits, **results.others}.items()},
        "bars": [asdict(target) for target in targets],
        "comparison": [asdict(difference) for difference in differences],
    }
