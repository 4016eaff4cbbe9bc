"""A model of what an index costs, fitted to measurements, for sizes of your own.

    python benchmarks/scale/cost_model.py --passages 5e6 --rate 20
    python benchmarks/scale/cost_model.py --passages 1e9 --states compact --cores 16 --disk 4000

Coefficients are in benchmarks/scale/cost_model.json, which `cost.py --write` writes. Bytes and
seconds of ingestion grow in proportion to the passages; memory and the time of a search are
a + b * n or a + b * ln(n), whichever fits the measured sizes better. What is beyond the largest
measured size is extrapolated, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("cost_model.json")
STATES = ("full", "compact", "none")
MEASURED_FROM = 100_000
"""Times of searches are not extrapolated from fewer passages: below, they hardly grow."""

BEYOND = 100
"""A machine gets at most so many times the measured passages: its times are unknown beyond."""

BYTE_PARTS = ("text", "vectors", "text index", "vector index")
SEARCH = "hybrid+rerank 50"


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
    - `seconds`: of one passage by part of ingestion, of the processor.
    - `milliseconds`: of a search by "mode candidates", of the processor, the mean; `memory`:
      peak bytes of a process that searches.
    """

    measured: int
    bytes: Mapping[str, float]
    state_bytes: Mapping[str, float]
    seconds: Mapping[str, float]
    milliseconds: Mapping[str, Curve]
    memory: Curve

    @property
    def knows_searches(self) -> bool:
        """Whether enough passages were measured to extrapolate times and memory of searches."""
        return self.measured >= MEASURED_FROM


def fit(sizes: Sequence[float], values: Sequence[float]) -> Curve:
    """Return the curve of the smallest relative error that does not fall, or a constant.

    A cost that falls as an index grows is noise, and would be negative beyond.
    """
    mean = float(np.mean(values))
    largest = max(abs(mean - value) / max(value, 1e-9) for value in values)
    curves = [Curve("linear", mean, 0.0, float(largest))]
    if len(sizes) < 2:
        return curves[0]
    for form in ("linear", "log"):
        grown = np.array(sizes) if form == "linear" else np.log(sizes)
        # Relative errors count, so that small indexes weigh as much as large ones.
        weights = 1 / np.maximum(np.array(values), 1e-9)
        design = np.stack([weights, weights * grown], axis=1)
        a, b = np.linalg.lstsq(design, weights * np.array(values), rcond=None)[0]
        errors = np.abs(a + b * grown - values) * weights
        if b > 0:
            curves.append(Curve(form, float(a), float(b), float(errors.max())))
    return min(curves, key=lambda curve: curve.error)


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
        if part != "states"
    }
    with_states = max(built, key=lambda r: int(r["states"]))
    if with_states["states"]:
        seconds["states"] = with_states["processor"]["states"] / with_states["states"]
    encoding = last["encoding"]
    seconds["embed"] = encoding["processor"] / encoding["passages"]
    sizes = [float(r["passages"]) for r in found]
    return CostModel(
        int(last["passages"]),
        {part: last["bytes"][part] / last["passages"] for part in BYTE_PARTS},
        dict(state_bytes),
        seconds,
        {name: fit(sizes, [r["warm"][name][2] for r in found]) for name in found[-1]["warm"]},
        fit(sizes, [float(r["peak_bytes"]) for r in found]),
    )


def read_model(file: Path = FILE) -> CostModel:
    """Return the model that is in a file; raises FileNotFoundError where there is none."""
    stored = json.loads(file.read_text("utf-8"))
    stored["milliseconds"] = {n: Curve(**c) for n, c in stored["milliseconds"].items()}
    return CostModel(**{**stored, "memory": Curve(**stored["memory"])})


def write_model(model: CostModel, file: Path = FILE) -> None:
    """Write a model, for `read_model`."""
    file.write_text(json.dumps(asdict(model), indent=1) + "\n", "utf-8")


@dataclass(frozen=True)
class Estimate:
    """Costs of one index.

    - `disk_bytes`; `memory_bytes`: of a process that searches; `ingest_hours`: on one
      core; `search_ms`: time of the processor of a hybrid search that reranks 50 candidates.
    - `machines`: how many of the given size hold the disk and answer the rate; what joins
      several of them is not in it.
    - `extrapolated`: whether a machine's share is larger than what was measured.
    """

    disk_bytes: float
    memory_bytes: float
    ingest_hours: float
    search_ms: float
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
) -> Estimate:
    """Return the costs of so many passages, searched `rate` times a second, on such machines.

    Each machine has an equal share of the passages and answers every query over its share; a
    search takes one core for its time, and half of the cores stay free.
    """
    each = sum(model.bytes.values()) + model.state_bytes[states]
    machines = max(1, math.ceil(passages * each / disk))
    machines = max(machines, math.ceil(passages / (BEYOND * model.measured)))
    while model.memory.at(passages / machines) > memory:
        machines += max(1, machines // 10)
    share = passages / machines
    milliseconds = model.milliseconds[search].at(share)
    copies = max(1, math.ceil(rate * milliseconds / 1000 / (cores / 2)))
    hours = passages * sum(
        s for part, s in model.seconds.items() if part != "states" or states != "none"
    )
    return Estimate(
        passages * each,
        model.memory.at(share),
        hours / 3600,
        milliseconds,
        machines * copies,
        share > model.measured,
    )


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
    a = parser.parse_args()
    model = read_model()
    if a.states not in model.state_bytes:
        parser.error(f"states can be {', '.join(model.state_bytes)}")
    e = estimate(
        model,
        a.passages,
        states=a.states,
        rate=a.rate,
        cores=a.cores,
        memory=a.memory * 1e9,
        disk=a.disk * 1e9,
    )
    print(f"{a.passages:,.0f} passages, states {a.states}")
    print(f"disk           {e.disk_bytes / 1e9:,.1f} GB")
    print(f"ingestion      {e.ingest_hours:,.1f} hours of one core")
    if not model.knows_searches and e.extrapolated:
        print(f"searches       not extrapolated: {model.measured:,} passages were measured")
        return
    print(f"a search       {e.search_ms:,.0f} ms of one core ({SEARCH} candidates)")
    print(f"memory         {e.memory_bytes / 1e9:,.1f} GB a process")
    print(
        f"machines       {e.machines:,} of {a.cores} cores, {a.memory:,.0f} GB memory and "
        f"{a.disk:,.0f} GB disk"
    )
    if e.extrapolated:
        print(f"extrapolated: {model.measured:,} passages were measured in one index")


if __name__ == "__main__":
    main()
