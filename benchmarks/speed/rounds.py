"""Rounds: all engines in turn, so that other load slows them alike."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence

from speed.agreement import compare_scores
from speed.engines import ENGINES, TORCH
from speed.machine import OtherLoad
from speed.results import CompletedRounds, Result
from speed.worker_client import Worker
from speed.workloads import Queries, Query, Workload


def steps(workloads: Sequence[Workload], workers: Sequence[Worker], rounds: int) -> int:
    """Return how often `run` calls `progress`."""
    return len(workloads) * len(workers) * rounds


def run(
    workers: Sequence[Worker],
    workloads: Sequence[Workload],
    queries: Mapping[str, Queries],
    rounds: int,
    progress: Callable[[str], None],
    *,
    done: CompletedRounds | None = None,
    until: float = math.inf,
    save: Callable[[CompletedRounds], None] = lambda _: None,
) -> CompletedRounds:
    """Measure, and return one result for each engine and workload.

    Each round starts with another engine. Scores are compared with those of torch in full
    precision, if it takes part. An interrupt ends the rounds; completed ones count.

    - `done`: earlier rounds of the same engines and workloads, to add to.
    - `until`: by `time.monotonic`; no round starts that would end later.
    - `save`: called after each whole round.
    """
    done = CompletedRounds() if done is None else done
    results = {(r.engine, r.workload): r for r in done.results}
    for workload in workloads:
        for worker in workers:
            if (worker.name, workload) not in results:
                results[worker.name, workload] = Result(worker.name, workload)
    done.results[:] = results.values()
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(len(done.seconds), rounds):
            started, load = time.monotonic(), OtherLoad()
            if not done.another_fits(until - started):
                break
            for workload in workloads:
                round_queries = list(queries[workload.collection].of_round(workload, number))
                _run_round(_rotate(workers, number), workload, round_queries, results, progress)
            done.seconds.append(time.monotonic() - started)
            done.loads.append(load.cores())
            save(done)
    return done


def _run_round(
    workers: Sequence[Worker],
    workload: Workload,
    round_queries: Sequence[Query],
    results: Mapping[tuple[str, Workload], Result],
    progress: Callable[[str], None],
) -> None:
    """Run the same queries on all engines; one that failed on a workload is skipped."""
    scores: dict[str, list[list[float]]] = {}
    for worker in workers:
        progress(f"{workload.name}: {worker.name}")
        result = results[worker.name, workload]
        if result.error is not None:
            continue
        reply = worker.ask(round_queries, workload.clients)
        if "error" in reply:
            result.error = str(reply["error"])
            continue
        result.add(reply, sum(len(query.candidates) for query in round_queries))
        scores[worker.name] = reply["scores"]
    for name, own_scores in scores.items():
        if workload.candidates > 1 and TORCH in scores and ENGINES[name].kind != "index":
            pairs = zip(scores[TORCH], own_scores, strict=True)
            results[name, workload].agreements += [compare_scores(a, b) for a, b in pairs]


def _rotate(workers: Sequence[Worker], number: int) -> list[Worker]:
    start = number % len(workers)
    return [*workers[start:], *workers[:start]]
