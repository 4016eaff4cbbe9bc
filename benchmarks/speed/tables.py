"""The measurements as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from speed.engines import ENGINES, TORCH
from speed.results import Result, ratios
from speed.workloads import Workload


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def workload_table(results: Sequence[Result], load: Workload) -> list[str]:
    """Return all engines on one workload, the fastest first."""
    here = [r for r in results if r.workload == load]
    peers = [r for r in here if r.measured and ENGINES[r.engine].kind == "peer"]
    torch = next((r for r in here if r.engine == TORCH and r.measured), None)
    best = max(peers, key=lambda r: r.rate, default=None)
    header = [
        "engine",
        "pairs/s",
        "±",
        "p50 ms",
        "p95 ms",
        "to torch",
        "to best peer",
        "peak MB",
    ]
    header += ["top 10", "RBO", "max Δ logit"]
    lines = [row(header), row(["---"] * len(header))]
    for r in sorted(here, key=lambda r: -r.rate if r.measured else 0.0):
        about = ENGINES[r.engine].about
        if not r.measured:
            reason = (r.error or "not run").replace("|", "/").replace("\n", " ")
            lines.append(row([about, f"failed: {reason[:90]}", *[""] * (len(header) - 2)]))
            continue
        cells = [f"**{about}**" if ENGINES[r.engine].own else about]
        cells += [f"{r.rate:,.1f}", f"{r.spread:.0%}"]
        cells += [f"{r.milliseconds(50):,.1f}", f"{r.milliseconds(95):,.1f}"]
        cells += [_ratio(r, torch), _ratio(r, best)]
        cells.append("" if r.peak is None else f"{r.peak:,.0f}")
        found = r.agreement()
        if found is None:
            cells += ["", "", ""]
        else:
            cells += [f"{found.top:.3f}", f"{found.overlap:.3f}"]
            # What was not scored has no logit of its own.
            pruned = ENGINES[r.engine].kind == "pruned"
            cells.append("" if pruned else f"{found.difference:.3f}")
        lines.append(row(cells))
    return lines


def _ratio(result: Result, other: Result | None) -> str:
    if other is None:
        return ""
    return f"{float(np.median(ratios(result, other))):.2f}"


def lengths_table(lengths: Mapping[str, Sequence[int]], max_length: int) -> list[str]:
    """Return how long the pairs are, in tokens with the special ones."""
    header = ["collection", "mean tokens", "median", "p95", f"longer than {max_length}"]
    lines = [row(header), row(["---"] * len(header))]
    for name, values in lengths.items():
        cut = float(np.mean([v > max_length for v in values]))
        cells = [name, f"{np.mean(values):.0f}", f"{np.median(values):.0f}"]
        lines.append(row([*cells, f"{np.percentile(values, 95):.0f}", f"{cut:.0%}"]))
    return lines


def load_table(loaded: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return seconds and memory of loading, by engine."""
    header = ["engine", "seconds to load", "MB while loading"]
    lines = [row(header), row(["---"] * len(header))]
    for name, (seconds, megabytes) in loaded.items():
        lines.append(row([ENGINES[name].about, f"{seconds:.1f}", f"{megabytes:,.0f}"]))
    return lines
