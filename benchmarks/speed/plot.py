"""A bar chart of the measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speed.engines import ENGINES
from speed.results import Result

COLORS = {
    "ours": "#1f6fb4",
    "pruned": "#7fb3d9",
    "index": "#2a9d4a",
    "peer": "#b0b0b0",
    "loop": "#d9c27a",
}
TITLES = {
    "ours": "secondpass, same weights",
    "pruned": "secondpass, same weights, in a cascade",
    "index": "secondpass over an index (its bundled reranker)",
    "peer": "peers",
    "loop": "plain loop",
}


def plot(results: Sequence[Result], collection: str, candidates: int, file: Path) -> None:
    """Draw the pairs a second of every engine, with the slowest and fastest round."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "secondpass"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    shown = [
        r
        for r in results
        if r.measured
        and r.workload.collection == collection
        and r.workload.candidates == candidates
        and r.workload.clients == 1
    ]
    shown.sort(key=lambda r: r.rate)
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(shown) + 1.6))
    for position, r in enumerate(shown):
        color = COLORS[ENGINES[r.engine].kind]
        axes.barh(position, r.rate, color=color, height=0.7)
        axes.plot([min(r.rates), max(r.rates)], [position] * 2, color="#333333", lw=1.2)
        axes.text(max(r.rates) * 1.06, position, f"{r.rate:,.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(shown)), [ENGINES[r.engine].about for r in shown], fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(right=max((max(r.rates) for r in shown), default=1.0) * 1.6)
    axes.set_xlabel("pairs a second, logarithmic; lines: slowest to fastest round")
    axes.set_title(f"{candidates} candidates, {collection}", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    kinds = dict.fromkeys(ENGINES[r.engine].kind for r in reversed(shown))
    handles = [Patch(color=COLORS[k], label=TITLES[k]) for k in kinds]
    axes.legend(handles=handles, loc="lower right", fontsize=8, frameon=False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
