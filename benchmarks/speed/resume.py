"""Results in a file after every round, so that a run that was ended can go on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import secondpass
from secondpass.evaluate.text_files import write_lines
from speed.report import Report
from speed.results import Done, Result
from speed.workloads import Queries, Workload


def conditions(
    models: Path,
    queries: Mapping[str, Queries],
    workloads: Sequence[Workload],
    engines: Iterable[str],
) -> dict[str, object]:
    """Return what rounds must have in common, besides the machine, to be of one run."""
    return {
        "secondpass": secondpass.__version__,
        "models": models.name,
        "collection": {name: found.digest for name, found in queries.items()},
        "queries a round": {load.name: load.queries for load in workloads},
        "engines": sorted(engines),
    }


def save(file: Path, report: Report) -> None:
    """Write everything; a file that is there is replaced only by a whole one."""
    write_lines(file, [json.dumps(report.as_json(), indent=1)])


def resumed(file: Path, machine: Mapping[str, object], wanted: Mapping[str, object]) -> Done:
    """Return the whole rounds of a file; raises ValueError where they are of another run."""
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
        there = dict(_flat({**found["machine"], **found["conditions"]}))
        seconds = [float(s) for s in found["round_seconds"]]
        rows = [Result.from_json(row, len(seconds)) for row in found["results"]]
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} holds no results that can be gone on from") from error
    here = dict(_flat({**machine, **wanted}))
    changed = [
        f"{name} was {there.get(name, 'absent')}, is {here.get(name, 'absent')}"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    if changed:
        raise ValueError(f"{file} is of another run: {'; '.join(changed)}")
    # Of a first round that was not finished nothing counts, no failure either.
    return Done(rows, seconds) if seconds else Done()


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        else:
            yield f"{before}{name}", value
