"""Profile of one query, by `secondpass bench --profile`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speed.tables import row
from speed.workloads import Query

MAX_OPERATORS = 8


def profile_shares(
    model: str | Path, query: Query, threads: int, max_length: int
) -> dict[str, Any]:
    """Return the JSON that the command prints; raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "secondpass", "bench", "-", "--profile", "--json"]
    command += ["--query", query.text, "--model", str(model), "--rounds", "1"]
    command += ["--threads", str(threads), "--max-length", str(max_length)]
    lines = "\n".join(json.dumps({"text": text}) for text in query.candidates)
    process = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    profile: dict[str, Any] = json.loads(process.stdout)
    return profile


def shares_table(profiles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the shares of the parts of each model's phases, a column for each phase."""
    phases = {
        f"{name}, {phase['name']}": phase
        for name, model in profiles.items()
        for phase in model["profile"]["phases"]
    }
    parts = dict.fromkeys(part for phase in phases.values() for part in phase["parts"])
    lines = [row(["part", *phases]), row(["---"] * (len(phases) + 1))]
    for part in parts:
        cells = [
            f"{phase['parts'][part] / phase['seconds']:.1%}" if part in phase["parts"] else ""
            for phase in phases.values()
        ]
        lines.append(row([part, *cells]))
    totals = [f"{phase['seconds'] * 1000:,.0f} ms" for phase in phases.values()]
    return [*lines, row(["**all**", *totals])]


def reach_table(profiles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the speed of the matrix products as a share of the engine's peak."""
    header = ["model", "products in", "share of the query", "billion operations/s", "peak"]
    lines = [row([*header, "reached"]), row(["---"] * (len(header) + 1))]
    for name, model in profiles.items():
        peaks = model["peak_operations_per_second"]
        for phase in model["profile"]["phases"]:
            for kind, seconds in phase["product_seconds"].items():
                if seconds <= 0:
                    continue
                rate = phase["operations"][kind] / seconds
                cells = [f"{name}, {phase['name']}", kind, f"{seconds / phase['seconds']:.0%}"]
                cells += [f"{rate / 1e9:.0f}", f"{peaks[kind] / 1e9:.0f}"]
                lines.append(row([*cells, f"{rate / peaks[kind]:.0%}"]))
    return lines


def operators_line(profile: Mapping[str, Any]) -> str:
    """Return the slowest operators of a model's first phase, with their shares."""
    phase = profile["profile"]["phases"][0]
    slowest: Sequence[tuple[str, float]] = list(phase["operators"].items())[:MAX_OPERATORS]
    return ", ".join(f"{kind} {seconds / phase['seconds']:.1%}" for kind, seconds in slowest)
