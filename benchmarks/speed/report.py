"""The report: tables, targets, machine and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speed.machine import has_vnni
from speed.results import CompletedRounds
from speed.stage_profile import operators_line, reach_table, shares_table
from speed.tables import lengths_table, load_table, row, workload_table
from speed.targets import Target, main_collection, targets
from speed.workloads import Workload


@dataclass(frozen=True)
class Report:
    """All results; `absent` says why engines are not available.

    Rounds of another run can be added only under the same `conditions`.
    """

    machine: Mapping[str, object]
    conditions: Mapping[str, object]
    weights: str
    max_length: int
    workloads: Sequence[Workload]
    done: CompletedRounds
    lengths: Mapping[str, Sequence[int]]
    loaded: Mapping[str, tuple[float, float]]
    absent: Mapping[str, str]
    profile_shares: Mapping[str, Mapping[str, Any]]
    made_by: str

    @property
    def targets(self) -> list[Target]:
        """The targets on the main collection, and whether they are met."""
        return list(targets(self.done.results, main_collection(self.workloads)))

    def markdown(self, picture: str | None) -> str:
        """Return the report as Markdown; `picture` is the path of the plot."""
        parts = [f"![pairs a second by engine]({picture})", ""] if picture else []
        parts += [self._setting(), ""]
        parts += ["**Targets**", "", *self._targets(), ""]
        first = self._first_tables()
        for load in first:
            parts += self._table(load)
        parts += ["<details>", "<summary>All other tables</summary>", ""]
        for load in self.workloads:
            if load not in first:
                parts += self._table(load)
        if self.profile_shares:
            parts += [
                "**Where the time of one query goes**",
                "",
                *shares_table(self.profile_shares),
                "",
            ]
            parts += ["**How near to the peak**", "", *reach_table(self.profile_shares), ""]
            for name, operators in self.profile_shares.items():
                parts += [f"Operators of {name}: {operators_line(operators)}.", ""]
        parts += ["**Lengths**", "", *lengths_table(self.lengths, self.max_length), ""]
        parts += ["**Loading**", "", *load_table(self.loaded), ""]
        for name, reason in self.absent.items():
            parts += [f"Not measured: {name}: {reason}.", ""]
        parts += ["**Machine and versions**", "", *self._machine(), "", self.made_by]
        parts += ["", "</details>"]
        return "\n".join(parts)

    def _first_tables(self) -> list[Workload]:
        """Return the workloads that the targets are about: one pair, and 100 candidates."""
        main = main_collection(self.workloads)
        alone = [w for w in self.workloads if w.collection == main and w.clients == 1]
        return [w for count in (100, 1) for w in alone if w.candidates == count]

    def _table(self, load: Workload) -> list[str]:
        crowd = f", {load.clients} clients at once" if load.clients > 1 else ""
        number = "one pair alone" if load.candidates == 1 else f"{load.candidates} candidates"
        title = f"**{load.collection}, {number}{crowd}**"
        return [title, "", *workload_table(self.done.results, load), ""]

    def _setting(self) -> str:
        """Return the sentence that says where the figures are from."""
        facts = self.machine
        where = f"{facts['processor']} with {facts['own kernels']} ({facts['threads']} threads)"
        loads = ", ".join(f"{load:.2f}" for load in self.done.loads)
        return (
            f"On {where}, medians of {self.done.rounds} rounds. Cores that other processes kept"
            f" busy meanwhile, round by round: {loads or 'not known'}."
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything, for --json and --resume."""
        return {
            "machine": self.machine,
            "conditions": self.conditions,
            "weights": self.weights,
            "rounds": len(self.done.seconds),
            "round_seconds": self.done.seconds,
            "round_loads": self.done.loads,
            "max_length": self.max_length,
            "results": [r.as_json() for r in self.done.results],
            "absent": self.absent,
            "loading": self.loaded,
            "shares": self.profile_shares,
            "bars": [{"text": b.text, "met": b.met} for b in self.targets],
        }

    def _targets(self) -> list[str]:
        lines = [row(["", "target and measured value"]), row(["---", "---"])]
        for target in self.targets:
            mark = {None: "not measured", True: "met", False: "**not met**"}[target.met]
            lines.append(row([mark, target.text]))
        features = [str(f) for f in self.machine["instructions"]]  # type: ignore[attr-defined]
        lines += [
            "",
            f"The targets are for processors with int8 instructions (VNNI). This one has"
            f" {', '.join(features) or 'none that are known'}: "
            + ("it is such a processor." if has_vnni(features) else "**it is not one.**"),
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
