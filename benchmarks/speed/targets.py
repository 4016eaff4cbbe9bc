"""Speed targets, and whether they are met here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speed.engines import ENGINES, KEPT, OURS, PRUNED, TORCH
from speed.results import Result, ratios
from speed.workloads import Workload

OVER_TORCH, OVER_PEERS, INDEX_OVER_TORCH, FLAT = 5.0, 1.6, 20.0, 1.25
PRUNED_OVER_TORCH, PRUNED_OVER_PEERS = 8.0, 3.0


@dataclass(frozen=True)
class Target:
    """A target with the measured value; `met` is None if it was not measured."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        mark = {None: "not measured", True: "met", False: "NOT MET"}[self.met]
        return f"{mark:12} {self.text}"


class ResultTable:
    """Results with one client, by engine and number of candidates."""

    def __init__(self, results: Sequence[Result], collection: str) -> None:
        self._results: Mapping[tuple[str, int], Result] = {
            (r.engine, r.workload.candidates): r
            for r in results
            if r.workload.collection == collection and r.workload.clients == 1 and r.measured
        }

    def get(self, engine: str, candidates: int) -> Result | None:
        """Return a result, or None if it is missing."""
        return self._results.get((engine, candidates))

    def peers(self, candidates: int, *, torch_only: bool = False) -> list[Result]:
        """Return the results of all peers for a number of candidates."""
        names = [
            n for n, e in ENGINES.items() if e.kind == "peer" and (e.torch or not torch_only)
        ]
        return [r for name in names if (r := self.get(name, candidates)) is not None]


def targets(results: Sequence[Result], collection: str) -> Iterator[Target]:
    """Yield each target, with the measured ratio, on one collection."""
    table = ResultTable(results, collection)
    torch = table.get(TORCH, 100)
    best = max(table.peers(100), key=lambda r: r.rate, default=None)
    name = "the best peer" if best is None else f"the best peer ({best.engine})"
    for engine, title, over_torch, over_peers in (
        (OURS, "100 candidates", OVER_TORCH, OVER_PEERS),
        (PRUNED, "100 candidates in a cascade", PRUNED_OVER_TORCH, PRUNED_OVER_PEERS),
    ):
        ours = table.get(engine, 100)
        yield _at_least(
            f"{title}, over sentence-transformers in fp32: at least {over_torch} times",
            _over(ours, torch),
            over_torch,
        )
        yield _at_least(
            f"{title}, over {name}: at least {over_peers} times",
            _over(ours, best),
            over_peers,
        )
    single, others = table.get(OURS, 1), table.peers(1)
    if single is None or not others:
        yield Target("one pair alone: p50 below every peer's", None)
    else:
        quickest = min(others, key=lambda r: r.milliseconds(50))
        mine, theirs = single.milliseconds(50), quickest.milliseconds(50)
        yield Target(
            "one pair alone: p50 below every peer's:"
            f" {mine:.1f} ms, {quickest.engine} {theirs:.1f} ms",
            mine < theirs,
        )
    yield _clients(results, collection)
    yield from _memory(table)
    yield from _index(table)


def _clients(results: Sequence[Result], collection: str) -> Target:
    text = "several clients at once: no peer has more pairs a second or a lower p95"
    rows = {
        r.engine: r
        for r in results
        if r.workload.collection == collection and r.workload.clients > 1 and r.measured
    }
    ours = rows.get(OURS)
    peers = [r for name, r in rows.items() if ENGINES[name].kind == "peer"]
    if ours is None or not peers:
        return Target(text, None)
    fastest = max(peers, key=lambda r: r.rate)
    quickest = min(peers, key=lambda r: r.milliseconds(95))
    mine, theirs = ours.milliseconds(95), quickest.milliseconds(95)
    return Target(
        f"{text}: {ours.rate:.0f} and {mine:.0f} ms, {fastest.engine} {fastest.rate:.0f},"
        f" {quickest.engine} {theirs:.0f} ms",
        ours.rate >= fastest.rate and mine <= theirs,
    )


def _memory(table: ResultTable) -> Iterator[Target]:
    ours, peers = table.get(OURS, 100), table.peers(100, torch_only=True)
    text = "memory below half of that of every peer with torch"
    if ours is None or ours.peak is None or not peers:
        yield Target(text, None)
    else:
        lowest = min(r.peak for r in peers if r.peak is not None)
        yield Target(
            f"{text}: {ours.peak:.0f} MB against {lowest:.0f} MB", 2 * ours.peak < lowest
        )
    small, large = table.get(OURS, 100), table.get(OURS, 1000)
    text = f"memory flat in the number of candidates (1,000 at most {FLAT} times 100)"
    if small is None or large is None or not small.peak or large.peak is None:
        yield Target(text, None)
    else:
        grown = large.peak / small.peak
        yield Target(f"{text}: {grown:.2f} times, {large.peak:.0f} MB", grown <= FLAT)


def _index(table: ResultTable) -> Iterator[Target]:
    kept, torch = table.get(KEPT, 100), table.get(TORCH, 100)
    yield _at_least(
        "index with kept states, 100 candidates:"
        f" at most 1/{INDEX_OVER_TORCH:.0f} of the time of torch in fp32",
        _over(kept, torch),
        INDEX_OVER_TORCH,
    )
    thousand = table.get(KEPT, 1000)
    text = "index with kept states: 1,000 candidates cost less than 100 in torch"
    if thousand is None or torch is None:
        yield Target(text, None)
    else:
        mine, theirs = thousand.milliseconds(50), torch.milliseconds(50)
        yield Target(f"{text}: {mine:.0f} ms against {theirs:.0f} ms", mine < theirs)


def _over(result: Result | None, other: Result | None) -> float | None:
    """Return the speed ratio: the median over rounds, as in the tables."""
    if result is None or other is None:
        return None
    return float(np.median(ratios(result, other)))


def _at_least(text: str, ratio: float | None, minimum: float) -> Target:
    if ratio is None:
        return Target(text, None)
    return Target(f"{text}: {ratio:.2f} times", ratio >= minimum)


def main_collection(workloads: Sequence[Workload]) -> str:
    """Return the collection that the targets are about."""
    return workloads[0].collection
