"""A model of what an index costs, fitted to measurements, for sizes of your own.

    python benchmarks/scale/cost_model.py --passages 5e6 --rate 20 --price 0.4
    python benchmarks/scale/cost_model.py --passages 1e9 --states compact --cores 16 --disk 4000

Coefficients are in benchmarks/scale/cost_model.json, which `cost.py --write` writes. Bytes, and
the seconds of making passages, grow in proportion to them; a small commit, memory and the time
of a search are a + b * n or a + b * ln(n), whichever fits the measured sizes better. What is
beyond the largest measured size is extrapolated, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("cost_model.json")
STATES = ("full", "compact", "none")
MEASURED_FROM = 100_000
"""Times of searches are not extrapolated from fewer passages: below, they hardly grow."""

BEYOND = 100
"""An index gets at most so many times the measured passages: its times are unknown beyond."""

COMMIT_ROWS = 64
HOURS_A_MONTH = 730
TABLE_SHARE = 0.9
"""The share of a disk that tables may take; the rest is for states."""

TABLE_COPIES = 2
"""A machine has its version of the tables and the next one, which is fetched or written."""

BYTE_PARTS = ("text", "vectors", "text index", "vector index")
SEARCH = "hybrid+rerank 50"
RERANK = "+rerank"


@dataclass(frozen=True)
class Curve:
    """a + b * n ("linear") or a + b * ln(n) ("log"); `error` is the largest relative one."""

    form: str
    a: float
    b: float
    error: float

    def at(self, passages: float) -> float:
        """Return the value for so many passages, 0 or more."""
        grown = passages if self.form == "linear" else math.log(max(passages, 1))
        return max(0.0, self.a + self.b * grown)


@dataclass(frozen=True)
class CostModel:
    """What is known of costs.

    - `measured`: the largest measured number of passages.
    - `bytes`: of a passage by part; `state_bytes`: by the option `states`.
    - `seconds`: of one passage by part of ingestion, of the processor; `commit`: of a commit
      of 64 passages to an index of a size.
    - `milliseconds`: of a search by "mode candidates", of the processor, the mean; `bound`:
      the same as if it grew in proportion to the index. `memory`: peak bytes of a process that
      searches.
    - `missed`: by the names of `milliseconds`, how far a curve that is fitted without the
      largest size is from what was measured there, as a ratio.
    """

    measured: int
    bytes: Mapping[str, float]
    state_bytes: Mapping[str, float]
    seconds: Mapping[str, float]
    commit: Curve
    milliseconds: Mapping[str, Curve]
    bound: Mapping[str, Curve]
    memory: Curve
    missed: Mapping[str, float]

    @property
    def knows_searches(self) -> bool:
        """Whether enough passages were measured to extrapolate times and memory of searches."""
        return self.measured >= MEASURED_FROM

    @property
    def table_bytes(self) -> float:
        """The bytes of a passage without its states."""
        return sum(self.bytes.values())

    def ingest_hours(self, passages: float, *, states: str = "full") -> float:
        """Return the hours of one core that it takes to index so many passages."""
        each = sum(s for p, s in self.seconds.items() if p != "states" or states != "none")
        # A commit takes a time that grows with the index: on average that of half of it.
        each += self.commit.at(passages / 2) / COMMIT_ROWS
        return passages * each / 3600


def fit(
    sizes: Sequence[float],
    values: Sequence[float],
    forms: Sequence[str] = ("linear", "log"),
) -> Curve:
    """Return the curve of the smallest relative error that does not fall, or a constant.

    A cost that falls as an index grows is noise, and would be negative beyond.
    """
    mean = float(np.mean(values))
    largest = max(abs(mean - value) / max(value, 1e-9) for value in values)
    curves = [Curve("linear", mean, 0.0, float(largest))]
    if len(sizes) < 2:
        return curves[0]
    for form in forms:
        grown = np.array(sizes) if form == "linear" else np.log(sizes)
        # Relative errors count, so that small indexes weigh as much as large ones.
        weights = 1 / np.maximum(np.array(values), 1e-9)
        design = np.stack([weights, weights * grown], axis=1)
        a, b = np.linalg.lstsq(design, weights * np.array(values), rcond=None)[0]
        errors = np.abs(a + b * grown - values) * weights
        if b > 0:
            curves.append(Curve(form, float(a), float(b), float(errors.max())))
    return min(curves, key=lambda curve: curve.error)


def fit_bound(sizes: Sequence[float], values: Sequence[float]) -> Curve:
    """Return the line that grows with the index: what a search does grows no faster."""
    return fit(sizes, values, ("linear",))


def fit_searches(
    sizes: Sequence[float],
    times: Mapping[str, Sequence[float]],
    fit_one: Callable[[Sequence[float], Sequence[float]], Curve] = fit,
) -> dict[str, Curve]:
    """Return the curves of searches by "mode candidates".

    Reading candidates adds the same to each size: the mean of what was measured.
    """
    curves: dict[str, Curve] = {}
    for name, values in times.items():
        first = curves.get(name.replace(RERANK, "")) if RERANK in name else None
        if first is None:
            curves[name] = fit_one(sizes, values)
            continue
        without = times[name.replace(RERANK, "")]
        reading = float(np.mean(np.array(values) - without))
        curve = replace(first, a=first.a + reading)
        errors = [abs(curve.at(n) / v - 1) for n, v in zip(sizes, values, strict=True)]
        curves[name] = replace(curve, error=max(errors))
    return curves


def fit_model(rows: Sequence[Mapping[str, Any]], state_bytes: Mapping[str, float]) -> CostModel:
    """Fit the rows of `cost.py` for indexes in a folder; needs one row of each kind."""
    built = sorted(
        (r for r in rows if r["kind"] == "build" and r["place"] == "local"),
        key=lambda r: int(r["passages"]),
    )
    found = sorted(
        (r for r in rows if r["kind"] == "search" and r["place"] == "local"),
        key=lambda r: int(r["passages"]),
    )
    last = built[-1]
    seconds = {
        part: total / last["passages"]
        for part, total in last["processor"].items()
        if part not in ("states", "commit")
    }
    with_states = max(built, key=lambda r: int(r["states"]))
    if with_states["states"]:
        seconds["states"] = with_states["processor"]["states"] / with_states["states"]
    encoding = last["encoding"]
    seconds["embed"] = encoding["processor"] / encoding["passages"]
    sizes = [float(r["passages"]) for r in found]
    times = {name: [r["warm"][name][2] for r in found] for name in found[-1]["warm"]}
    return CostModel(
        int(last["passages"]),
        {part: last["bytes"][part] / last["passages"] for part in BYTE_PARTS},
        dict(state_bytes),
        seconds,
        fit([float(r["passages"]) for r in built], [r["small_commit"] for r in built]),
        fit_searches(sizes, times),
        fit_searches(sizes, times, fit_bound),
        fit(sizes, [float(r["peak_bytes"]) for r in found]),
        held_out(sizes, times),
    )


def held_out(sizes: Sequence[float], times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return by which ratio curves of all sizes but the largest miss that one; 0 for one."""
    if len(sizes) < 2:
        return dict.fromkeys(times, 0.0)
    curves = fit_searches(sizes[:-1], {name: values[:-1] for name, values in times.items()})
    return {name: curves[name].at(sizes[-1]) / values[-1] - 1 for name, values in times.items()}


def read_model(file: Path = FILE) -> CostModel:
    """Return the model that is in a file; raises FileNotFoundError where there is none."""
    stored = json.loads(file.read_text("utf-8"))
    for name in ("milliseconds", "bound"):
        stored[name] = {n: Curve(**c) for n, c in stored[name].items()}
    for name in ("memory", "commit"):
        stored[name] = Curve(**stored[name])
    return CostModel(**stored)


def write_model(model: CostModel, file: Path = FILE) -> None:
    """Write a model, for `read_model`."""
    file.write_text(json.dumps(asdict(model), indent=1) + "\n", "utf-8")


@dataclass(frozen=True)
class Estimate:
    """Costs of so many passages.

    - `disk_bytes`: of one copy of tables and states; `memory_bytes`: of a process that
      searches, with the search indexes of its index; `ingest_hours`: on one core.
    - `search_ms`: time of the processor of a search in one index.
    - `indexes`: how many the passages have to be divided between; each answers every query,
      and what joins their answers is not part of secondpass.
    - `machines`: how many of the given size hold the disk and answer the rate.
    - `extrapolated`: whether an index is larger than what was measured.
    """

    disk_bytes: float
    memory_bytes: float
    ingest_hours: float
    search_ms: float
    indexes: int
    machines: int
    extrapolated: bool


def estimate(
    model: CostModel,
    passages: float,
    *,
    states: str = "full",
    rate: float = 1.0,
    cores: int = 8,
    memory: float = 32e9,
    disk: float = 1e12,
    search: str = SEARCH,
    bound: bool = False,
) -> Estimate:
    """Return the costs of so many passages, searched `rate` times a second, on such machines.

    As `secondpass serve --on ray --shards N` does: each machine has all tables of its index,
    and the states are divided between those of a copy. An index whose tables do not fit on a
    machine is divided into several. A search takes one core for its time, and half of the
    cores stay free. With `bound`, the time of a search grows in proportion beyond what was
    measured, which is the worst case.

    Raises ValueError for a memory in which no process can search.
    """
    if needed_memory(model, 1) > memory:
        raise ValueError(
            f"a process that searches takes {needed_memory(model, 1) / 1e9:.1f} GB"
        )
    tables = TABLE_COPIES * model.table_bytes
    indexes = max(
        1,
        math.ceil(passages * tables / (TABLE_SHARE * disk)),
        math.ceil(passages / (BEYOND * model.measured)),
    )
    while needed_memory(model, passages / indexes) > memory:
        indexes += max(1, indexes // 10)
    share = passages / indexes
    shards = max(1, math.ceil(share * model.state_bytes[states] / (disk - share * tables)))
    milliseconds = model.milliseconds[search].at(share)
    if bound and share > model.measured:
        milliseconds = max(milliseconds, model.bound[search].at(share))
    copies = max(1, math.ceil(rate * milliseconds / 1000 / (shards * cores / 2)))
    return Estimate(
        passages * (model.table_bytes + model.state_bytes[states]),
        needed_memory(model, share),
        indexes * model.ingest_hours(share, states=states),
        milliseconds,
        indexes,
        indexes * shards * copies,
        share > model.measured,
    )


def needed_memory(model: CostModel, passages: float) -> float:
    """Return the memory of a process that searches, and of the files that each search reads.

    These are the search indexes, which are timed in the memory of the system.
    """
    of_indexes = model.bytes["text index"] + model.bytes["vector index"]
    return model.memory.at(passages) + passages * of_indexes


def span(low: float, high: float) -> str:
    """Return two numbers as a range, or as one where they look the same."""
    first, last = f"{low:,.0f}", f"{high:,.0f}"
    return first if first == last else f"{first} to {last}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=float, required=True, metavar="N")
    parser.add_argument("--states", choices=STATES, default="full")
    parser.add_argument("--rate", type=float, default=1.0, help="searches a second")
    parser.add_argument("--cores", type=int, default=8, help="of a machine")
    parser.add_argument("--memory", type=float, default=32, help="of a machine, in GB")
    parser.add_argument("--disk", type=float, default=1000, help="of a machine, in GB")
    parser.add_argument("--price", type=float, help="of a machine an hour, in any currency")
    a = parser.parse_args()
    model = read_model()
    if a.states not in model.state_bytes:
        parser.error(f"states can be {', '.join(model.state_bytes)}")
    for name in ("passages", "rate", "cores", "memory", "disk"):
        if not 0 < getattr(a, name) < math.inf:
            parser.error(f"--{name} is a number above 0")
    machine = {"cores": a.cores, "memory": a.memory * 1e9, "disk": a.disk * 1e9}
    try:
        e, most = (
            estimate(model, a.passages, states=a.states, rate=a.rate, bound=bound, **machine)
            for bound in (False, True)
        )
    except ValueError as error:
        parser.error(f"--memory is too small: {error}")
    print(f"{a.passages:,.0f} passages, states {a.states}")
    print(f"disk           {e.disk_bytes / 1e9:,.1f} GB")
    print(f"ingestion      {e.ingest_hours:,.1f} hours of one core")
    if not model.knows_searches and e.extrapolated:
        print(f"searches       not extrapolated: {model.measured:,} passages were measured")
        return
    milliseconds = span(e.search_ms, most.search_ms)
    print(f"a search       {milliseconds} ms of one core ({SEARCH} candidates)")
    print(f"memory         {e.memory_bytes / 1e9:,.1f} GB a process, with the search indexes")
    if e.indexes > 1:
        print(f"indexes        {e.indexes:,}, each with its share of the passages")
    print(
        f"machines       {span(e.machines, most.machines)} of {a.cores} cores, "
        f"{a.memory:,.0f} GB memory and {a.disk:,.0f} GB disk"
    )
    if a.price is not None:
        months = [n * a.price * HOURS_A_MONTH for n in (e.machines, most.machines)]
        searches = a.rate * 3600 * HOURS_A_MONTH / 1e6
        print(
            f"price          {span(*months)} a month, {span(*(m / searches for m in months))} "
            f"for a million searches, all at {a.rate:g} a second"
        )
    if e.extrapolated:
        print(f"extrapolated: {model.measured:,} passages were measured in one index")


if __name__ == "__main__":
    main()
