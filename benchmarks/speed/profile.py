"""Where the time of one query goes, by `secondpass bench --profile`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speed.tables import row
from speed.workloads import Query

MOST_OPERATORS = 8


def shares(model: str | Path, query: Query, threads: int, max_length: int) -> dict[str, Any]:
    """Return what the command prints as JSON; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "secondpass", "bench", "-", "--profile", "--json"]
    command += ["--query", query.text, "--model", str(model), "--rounds", "1"]
    command += ["--threads", str(threads), "--max-length", str(max_length)]
    lines = "\n".join(json.dumps({"text": text}) for text in query.candidates)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shares_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the shares of each phase of each model, a column each."""
    phases = {
        f"{name}, {phase['name']}": phase
        for name, one in found.items()
        for phase in one["profile"]["phases"]
    }
    parts = dict.fromkeys(part for phase in phases.values() for part in phase["parts"])
    lines = [row(["part", *phases]), row(["---"] * (len(phases) + 1))]
    for part in parts:
        cells = [
            f"{phase['parts'][part] / phase['seconds']:.1%}" if part in phase["parts"] else ""
            for phase in phases.values()
        ]
        lines.append(row([part, *cells]))
    whole = [f"{phase['seconds'] * 1000:,.0f} ms" for phase in phases.values()]
    return [*lines, row(["**all**", *whole])]


def reach_table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return how near to the engine's own peak the matrix products come."""
    header = ["model", "products in", "share of the query", "billion operations/s", "peak"]
    lines = [row([*header, "reached"]), row(["---"] * (len(header) + 1))]
    for name, one in found.items():
        peaks = one["peak_operations_per_second"]
        for phase in one["profile"]["phases"]:
            for kind, seconds in phase["product_seconds"].items():
                if seconds <= 0:
                    continue
                rate = phase["operations"][kind] / seconds
                cells = [f"{name}, {phase['name']}", kind, f"{seconds / phase['seconds']:.0%}"]
                cells += [f"{rate / 1e9:.0f}", f"{peaks[kind] / 1e9:.0f}"]
                lines.append(row([*cells, f"{rate / peaks[kind]:.0%}"]))
    return lines


def operators_line(found: Mapping[str, Any]) -> str:
    """Return the operators of a model's first phase that take longest, with their shares."""
    phase = found["profile"]["phases"][0]
    named: Sequence[tuple[str, float]] = list(phase["operators"].items())[:MOST_OPERATORS]
    return ", ".join(f"{kind} {seconds / phase['seconds']:.1%}" for kind, seconds in named)
