"""The whole report: tables, bars, machine and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speed.machine import has_vnni
from speed.profile import operators_line, reach_table, shares_table
from speed.results import Done
from speed.tables import lengths_table, load_table, row, workload_table
from speed.targets import Target, measured_on, targets
from speed.workloads import Workload


@dataclass(frozen=True)
class Report:
    """Everything that was found; `absent` says why engines did not take part.

    `conditions` are those under which rounds of another run could be added.
    """

    machine: Mapping[str, object]
    conditions: Mapping[str, object]
    weights: str
    max_length: int
    workloads: Sequence[Workload]
    done: Done
    lengths: Mapping[str, Sequence[int]]
    loaded: Mapping[str, tuple[float, float]]
    absent: Mapping[str, str]
    shares: Mapping[str, Mapping[str, Any]]
    made_by: str

    @property
    def promised(self) -> list[Target]:
        """What was promised of the main collection, and whether it was met."""
        return list(targets(self.done.results, measured_on(self.workloads)))

    def markdown(self, picture: str | None) -> str:
        """Return the report as Markdown; `picture` is the path of the plot."""
        parts = [f"![pairs a second by engine]({picture})", ""] if picture else []
        parts += ["**What was promised**", "", *self._promises(), ""]
        for load in self.workloads:
            crowd = f", {load.clients} clients at once" if load.clients > 1 else ""
            number = (
                "one pair alone" if load.candidates == 1 else f"{load.candidates} candidates"
            )
            parts += [f"**{load.collection}, {number}{crowd}**", ""]
            parts += [*workload_table(self.done.results, load), ""]
        if self.shares:
            parts += [
                "**Where the time of one query goes**",
                "",
                *shares_table(self.shares),
                "",
            ]
            parts += ["**How near to the peak**", "", *reach_table(self.shares), ""]
            for name, found in self.shares.items():
                parts += [f"Operators of {name}: {operators_line(found)}.", ""]
        parts += ["**Lengths**", "", *lengths_table(self.lengths, self.max_length), ""]
        parts += ["**Loading**", "", *load_table(self.loaded), ""]
        for name, reason in self.absent.items():
            parts += [f"Not measured: {name}: {reason}.", ""]
        parts += ["**Machine and versions**", "", *self._machine(), "", self.made_by]
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return everything, for --json and --resume."""
        return {
            "machine": self.machine,
            "conditions": self.conditions,
            "weights": self.weights,
            "rounds": len(self.done.seconds),
            "round_seconds": self.done.seconds,
            "max_length": self.max_length,
            "results": [r.as_json() for r in self.done.results],
            "absent": self.absent,
            "loading": self.loaded,
            "shares": self.shares,
            "bars": [{"text": b.text, "met": b.met} for b in self.promised],
        }

    def _promises(self) -> list[str]:
        lines = [row(["", "promise and what was measured"]), row(["---", "---"])]
        for target in self.promised:
            mark = {None: "not measured", True: "met", False: "**not met**"}[target.met]
            lines.append(row([mark, target.text]))
        features = [str(f) for f in self.machine["instructions"]]  # type: ignore[attr-defined]
        lines += [
            "",
            f"The promises are for processors with int8 instructions (VNNI). This one has"
            f" {', '.join(features) or 'none that are known'}: "
            + ("it is such a processor." if has_vnni(features) else "**it is none.**"),
        ]
        return lines

    def _machine(self) -> list[str]:
        packages = self.machine["packages"]
        assert isinstance(packages, Mapping)
        facts = [f"{k}: {v}" for k, v in self.machine.items() if k not in ("packages",)]
        return [
            "; ".join([*facts, f"weights: {self.weights}", f"rounds: {self.done.rounds}"])
            + ".",
            "",
            ", ".join(f"{name} {number}" for name, number in packages.items()) + ".",
        ]
