"""All engines in turn, round after round, so that a busy machine slows them alike."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence

from speed.agreement import agree
from speed.engines import ENGINES, TORCH
from speed.results import Done, Result
from speed.worker_client import Worker
from speed.workloads import Queries, Query, Workload


def steps(workloads: Sequence[Workload], workers: Sequence[Worker], rounds: int) -> int:
    """Return how often `run` will call its `progress`."""
    return len(workloads) * len(workers) * rounds


def run(
    workers: Sequence[Worker],
    workloads: Sequence[Workload],
    queries: Mapping[str, Queries],
    rounds: int,
    progress: Callable[[str], None],
    *,
    done: Done | None = None,
    until: float = math.inf,
    keep: Callable[[Done], None] = lambda _: None,
) -> Done:
    """Measure, and return one result for each engine and workload.

    Each round begins with another engine. Scores are compared with those of torch in full
    precision, where it takes part. An interrupt ends the rounds; what is done counts.

    - `done`: rounds of the same engines and workloads, which are added to.
    - `until`: by `time.monotonic`; no round begins that would not be over by then.
    - `keep`: called after each whole round.
    """
    done = Done() if done is None else done
    found = {(r.engine, r.workload): r for r in done.results}
    for load in workloads:
        for worker in workers:
            if (worker.name, load) not in found:
                found[worker.name, load] = Result(worker.name, load)
    done.results[:] = found.values()
    with contextlib.suppress(KeyboardInterrupt):
        for turn in range(len(done.seconds), rounds):
            begun = time.monotonic()
            if not done.another_fits(until - begun):
                break
            for load in workloads:
                asked = list(queries[load.collection].of_round(load, turn))
                _one_round(_turned(workers, turn), load, asked, found, progress)
            done.seconds.append(time.monotonic() - begun)
            keep(done)
    return done


def _one_round(
    workers: Sequence[Worker],
    load: Workload,
    asked: Sequence[Query],
    found: Mapping[tuple[str, Workload], Result],
    progress: Callable[[str], None],
) -> None:
    """Ask all engines the same; one that failed on a workload is not asked again."""
    scores: dict[str, list[list[float]]] = {}
    for worker in workers:
        progress(f"{load.name}: {worker.name}")
        result = found[worker.name, load]
        if result.error is not None:
            continue
        reply = worker.ask(asked, load.clients)
        if "error" in reply:
            result.error = str(reply["error"])
            continue
        result.add(reply, sum(len(query.candidates) for query in asked))
        scores[worker.name] = reply["scores"]
    for name, ours in scores.items():
        if load.candidates > 1 and TORCH in scores and ENGINES[name].kind != "index":
            pairs = zip(scores[TORCH], ours, strict=True)
            found[name, load].agreements += [agree(a, b) for a, b in pairs]


def _turned(workers: Sequence[Worker], turn: int) -> list[Worker]:
    start = turn % len(workers)
    return [*workers[start:], *workers[:start]]
