"""What was measured of one engine on one workload, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from speed.agreement import Agreement
from speed.workloads import Workload


@dataclass
class Result:
    """Rounds of one engine; `error` where it failed.

    `rates` are pairs a second, one a round; `seconds` those of each query; `peak` the
    highest memory of the process after the first round, in MB.
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
        """Whether there is anything to report."""
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
        """Return mean overlaps and the largest difference, or None for the unlike."""
        if not self.agreements:
            return None
        return Agreement(
            float(np.mean([a.top for a in self.agreements])),
            float(np.mean([a.overlap for a in self.agreements])),
            max(a.difference for a in self.agreements),
        )

    @classmethod
    def from_json(cls, found: Mapping[str, Any], rounds: int) -> Result:
        """Return the first rounds of what `as_json` gave."""
        load = Workload(*(found[n] for n in ("collection", "candidates", "clients", "queries")))
        asked = rounds * load.queries * load.clients
        return cls(
            found["engine"],
            load,
            found["rates"][:rounds],
            found["seconds"][:asked],
            [Agreement(*values) for values in found["agreements"][:asked]],
            found["peak_megabytes"],
            found["error"],
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything, for --json."""
        found = self.agreement()
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
            "agreement": None if found is None else vars(found),
            "agreements": [list(vars(a).values()) for a in self.agreements],
        }


@dataclass
class Done:
    """What was measured of everything, and the seconds that each whole round took."""

    results: list[Result] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def rounds(self) -> str:
        """How many rounds there are, for people."""
        part = any(len(r.rates) > len(self.seconds) for r in self.results)
        return f"{len(self.seconds)}{' and a part of one' if part else ''}"

    def another_fits(self, seconds: float) -> bool:
        """Return whether a round that takes the median so far fits; the first always does."""
        return not self.seconds or float(np.median(self.seconds)) <= seconds


def ratios(one: Result, other: Result) -> list[float]:
    """Return how much faster `one` was than `other`, round by round."""
    return [a / b for a, b in zip(one.rates, other.rates, strict=False)]
