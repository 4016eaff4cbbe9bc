"""The measurements as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from speed.engines import ENGINES, TORCH
from speed.results import Result, ratios
from speed.workloads import Workload


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def workload_table(results: Sequence[Result], load: Workload) -> list[str]:
    """Return all engines on one workload, fastest first."""
    rows = [r for r in results if r.workload == load]
    peers = [r for r in rows if r.measured and ENGINES[r.engine].kind == "peer"]
    torch = next((r for r in rows if r.engine == TORCH and r.measured), None)
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
    for r in sorted(rows, key=lambda r: -r.rate if r.measured else 0.0):
        title = ENGINES[r.engine].about
        if not r.measured:
            reason = (r.error or "not run").replace("|", "/").replace("\n", " ")
            lines.append(row([title, f"failed: {reason[:90]}", *[""] * (len(header) - 2)]))
            continue
        cells = [f"**{title}**" if ENGINES[r.engine].own else title]
        cells += [f"{r.rate:,.1f}", f"{r.spread:.0%}"]
        cells += [f"{r.milliseconds(50):,.1f}", f"{r.milliseconds(95):,.1f}"]
        cells += [_ratio(r, torch), _ratio(r, best)]
        cells.append("" if r.peak is None else f"{r.peak:,.0f}")
        agreement = r.agreement()
        if agreement is None:
            cells += ["", "", ""]
        else:
            cells += [f"{agreement.top:.3f}", f"{agreement.overlap:.3f}"]
            # Candidates that were ruled out have no logit of their own.
            pruned = ENGINES[r.engine].kind == "pruned"
            cells.append("" if pruned else f"{agreement.difference:.3f}")
        lines.append(row(cells))
    return lines


def _ratio(result: Result, other: Result | None) -> str:
    if other is None:
        return ""
    return f"{float(np.median(ratios(result, other))):.2f}"


def lengths_table(lengths: Mapping[str, Sequence[int]], max_length: int) -> list[str]:
    """Return the lengths of the pairs in tokens, special tokens included."""
    header = ["collection", "mean tokens", "median", "p95", f"longer than {max_length}"]
    lines = [row(header), row(["---"] * len(header))]
    for name, values in lengths.items():
        truncated = float(np.mean([v > max_length for v in values]))
        cells = [name, f"{np.mean(values):.0f}", f"{np.median(values):.0f}"]
        lines.append(row([*cells, f"{np.percentile(values, 95):.0f}", f"{truncated:.0%}"]))
    return lines


def load_table(loaded: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return seconds and memory of loading, by engine."""
    header = ["engine", "seconds to load", "MB while loading"]
    lines = [row(header), row(["---"] * len(header))]
    for name, (seconds, megabytes) in loaded.items():
        lines.append(row([ENGINES[name].about, f"{seconds:.1f}", f"{megabytes:,.0f}"]))
    return lines
