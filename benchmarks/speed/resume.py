"""Results saved after every round, so that an interrupted run can be resumed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import secondpass
from secondpass.evaluate.text_files import write_lines
from speed.report import Report
from speed.results import CompletedRounds, Result
from speed.workloads import Queries, Workload


def conditions(
    models: Path,
    queries: Mapping[str, Queries],
    workloads: Sequence[Workload],
    engines: Iterable[str],
) -> dict[str, object]:
    """Return what all rounds of one run must have in common, besides the machine."""
    return {
        "secondpass": secondpass.__version__,
        "models": models.name,
        "collection": {name: found.digest for name, found in queries.items()},
        "queries a round": {load.name: load.queries for load in workloads},
        "engines": sorted(engines),
    }


def save(file: Path, report: Report) -> None:
    """Write everything, atomically."""
    write_lines(file, [json.dumps(report.as_json(), indent=1)])


def load_rounds(
    file: Path, machine: Mapping[str, object], expected: Mapping[str, object]
) -> CompletedRounds:
    """Return the complete rounds of a file; raises ValueError if they are of another run."""
    try:
        saved: dict[str, Any] = json.loads(file.read_text("utf-8"))
        before = dict(_flat({**saved["machine"], **saved["conditions"]}))
        seconds = [float(s) for s in saved["round_seconds"]]
        loads = [float(s) for s in saved["round_loads"]]
        rows = [Result.from_json(row, len(seconds)) for row in saved["results"]]
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has no results to resume from") from error
    now = dict(_flat({**machine, **expected}))
    changed = [
        f"{name} was {before.get(name, 'absent')}, is {now.get(name, 'absent')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise ValueError(f"{file} is of another run: {'; '.join(changed)}")
    # An unfinished first round does not count, not even its failures.
    return CompletedRounds(rows, seconds, loads) if seconds else CompletedRounds()


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
