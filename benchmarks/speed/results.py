"""Results of one engine on one workload, and of all completed rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from speed.agreement import Agreement
from speed.workloads import Workload


@dataclass
class Result:
    """The rounds of one engine; `error` if it failed.

    `rates` are pairs a second, one for each round; `seconds` those of each query; `peak` the
    peak memory of the process after the first round, in MB.
    """

    engine: str
    workload: Workload
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    peak: float | None = None
    error: str | None = None

    def add(self, reply: Mapping[str, Any], pairs: int) -> None:
        """Add a round's reply."""
        self.rates.append(pairs / float(reply["wall"]))
        self.seconds += [float(s) for s in reply["seconds"]]
        if self.peak is None:
            self.peak = float(reply["peak"])

    @property
    def measured(self) -> bool:
        """Whether there is a result to report."""
        return bool(self.rates) and self.error is None

    @property
    def rate(self) -> float:
        """The median of the rounds' pairs a second."""
        return float(np.median(self.rates))

    @property
    def spread(self) -> float:
        """Half of the distance between slowest and fastest round, as a share of the median."""
        return (max(self.rates) - min(self.rates)) / 2 / self.rate

    def milliseconds(self, percentile: float) -> float:
        """Return a percentile of the queries' latency."""
        return float(np.percentile(self.seconds, percentile)) * 1000

    def agreement(self) -> Agreement | None:
        """Return mean overlaps and the largest difference, None if scores do not compare."""
        if not self.agreements:
            return None
        return Agreement(
            float(np.mean([a.top for a in self.agreements])),
            float(np.mean([a.overlap for a in self.agreements])),
            max(a.difference for a in self.agreements),
        )

    @classmethod
    def from_json(cls, row: Mapping[str, Any], rounds: int) -> Result:
        """Return the first `rounds` of what `as_json` returned."""
        load = Workload(*(row[n] for n in ("collection", "candidates", "clients", "queries")))
        queries = rounds * load.queries * load.clients
        return cls(
            row["engine"],
            load,
            row["rates"][:rounds],
            row["seconds"][:queries],
            [Agreement(*values) for values in row["agreements"][:queries]],
            row["peak_megabytes"],
            row["error"],
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything, for --json."""
        agreement = self.agreement()
        return {
            "engine": self.engine,
            "collection": self.workload.collection,
            "candidates": self.workload.candidates,
            "clients": self.workload.clients,
            "queries": self.workload.queries,
            "error": self.error,
            "peak_megabytes": self.peak,
            "rates": self.rates,
            "seconds": self.seconds,
            **(
                {
                    "pairs_per_second": self.rate,
                    "spread": self.spread,
                    "p50_ms": self.milliseconds(50),
                    "p95_ms": self.milliseconds(95),
                }
                if self.measured
                else {}
            ),
            "agreement": None if agreement is None else vars(agreement),
            "agreements": [list(vars(a).values()) for a in self.agreements],
        }


@dataclass
class CompletedRounds:
    """The results of all engines; of each complete round its seconds and the other load.

    `loads`: how many cores other processes kept busy meanwhile.
    """

    results: list[Result] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

    @property
    def rounds(self) -> str:
        """The number of rounds as text."""
        part = any(len(r.rates) > len(self.seconds) for r in self.results)
        return f"{len(self.seconds)}{' and a part of one' if part else ''}"

    def another_fits(self, seconds: float) -> bool:
        """Return whether a round that takes the median so far fits; the first always does."""
        return not self.seconds or float(np.median(self.seconds)) <= seconds


def ratios(result: Result, other: Result) -> list[float]:
    """Return the speed ratio of two results, round by round."""
    return [a / b for a, b in zip(result.rates, other.rates, strict=False)]
