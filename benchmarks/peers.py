"""Speed beside other rerankers: same pairs, same weights, same threads.

    python benchmarks/peers.py                        # everything
    python benchmarks/peers.py --quick                # checks that everything runs
    python benchmarks/peers.py --weights FOLDER       # trained weights
    python benchmarks/peers.py --write                # and write it into the docs
    python benchmarks/peers.py --minutes 60 --json FILE   # as many rounds as fit into an hour
    python benchmarks/peers.py --resume FILE          # and the missing ones

`make bench` runs it in an environment of its own, .venv-bench. Each engine has a process of its
own; each round runs all of them in turn. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import beir
from beir import ROOT
from harness.progress import console, progress_bar
from speed.docs_page import write
from speed.engines import ENGINES, TORCH, EngineSettings
from speed.machine import machine
from speed.prepare import STEPS, folder_for, prepare
from speed.report import Report
from speed.results import CompletedRounds
from speed.resume import conditions, load_rounds, save
from speed.rounds import run, steps
from speed.stage_profile import profile_shares
from speed.worker_client import Worker
from speed.workloads import SAMPLE, Queries, available, plan

import secondpass
from secondpass.inference.tokenizer import Tokenizer

CACHE = ROOT / ".cache" / "speed"
COLLECTIONS = ("squad-dev", "scifact", "wikiqa-rerank")
SIZES = (20, 50, 100, 1000)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--weights", type=Path, metavar="FOLDER", help="a transformers cross-encoder")
    add("--data", type=Path, metavar="DIR", help="collections in BEIR layout, one folder each")
    add("--collections", nargs="+", default=list(COLLECTIONS), metavar="NAME")
    add("--engines", nargs="+", choices=list(ENGINES), metavar="NAME", default=list(ENGINES))
    add("--candidates", nargs="+", type=int, default=list(SIZES), metavar="N")
    add("--rounds", type=int, default=5, help="the maximum, including those of --resume")
    add(
        "--minutes",
        type=float,
        default=math.inf,
        metavar="N",
        help="start no round after the first that, at the median so far, would end later",
    )
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--max-length", type=int, default=256, help="tokens of a pair, the same for all")
    add("--memory", type=float, default=10.0, help="maximum GB of one engine")
    add("--quick", action="store_true", help="one round, by default of 20 and 100 candidates")
    add("--json", type=Path, metavar="FILE", help="write all values to FILE after every round")
    add(
        "--resume",
        type=Path,
        metavar="FILE",
        help="continue after the complete rounds in FILE: the same machine, versions, weights,"
        " texts, candidates and engines; written back to FILE without --json",
    )
    add("--write", action="store_true", help="write the report into docs/explanation/speed.md")
    arguments = parser.parse_args()
    for name in ("rounds", "threads", "max_length"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not arguments.minutes > 0:
        parser.error("--minutes must be more than 0")
    if arguments.json is None:
        arguments.json = arguments.resume
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json {arguments.json}: there is no such folder")
    if min(arguments.candidates) < 2:
        parser.error("--candidates must be at least 2; one pair alone is always measured")
    if (
        arguments.weights is not None
        and not (arguments.weights / "model.safetensors").is_file()
    ):
        parser.error(f"--weights {arguments.weights}: there is no model.safetensors")
    if arguments.quick:
        arguments.rounds = 1
        if arguments.candidates == list(SIZES):
            arguments.candidates = [20, 100]
    return arguments


def main() -> int:
    until = time.monotonic()
    arguments = parse_arguments()
    until += arguments.minutes * 60
    if arguments.data is not None:
        beir.EVAL = arguments.data
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "log.txt"
    models = folder_for(CACHE, arguments.weights, arguments.max_length)
    collections = available(arguments.collections)
    if collections == [SAMPLE] and SAMPLE not in arguments.collections:
        console.print("None of the collections exists: using the sample of the repository")
    queries = {name: Queries(name) for name in collections}
    workloads = plan(collections, arguments.candidates, quick=arguments.quick)
    names = dict.fromkeys([TORCH, *arguments.engines])
    machine_facts = machine(arguments.threads)
    run_conditions = conditions(models, queries, workloads, names)
    previous = CompletedRounds()
    if arguments.resume is not None:
        try:
            previous = load_rounds(arguments.resume, machine_facts, run_conditions)
        except ValueError as error:
            raise SystemExit(f"--resume: {error}") from None
    with progress_bar("models", len(STEPS)) as advance:
        for step in prepare(models, arguments.weights, arguments.max_length, log):
            console.print(f"  {step}", highlight=False)
            advance(1)
    settings = EngineSettings(models, arguments.threads, arguments.max_length)
    with engines(names, settings, arguments.memory, log) as started:
        workers = [w for w in started if w.absent is None]
        changed = {r.engine for r in previous.results} ^ {w.name for w in workers}
        if previous.results and changed:
            raise SystemExit(f"--resume: in some rounds only: {', '.join(sorted(changed))}")
        tokenizer = Tokenizer(models / "weights" / "tokenizer.json")
        report = Report(
            machine=machine_facts,
            conditions=run_conditions,
            weights="untrained head: agreement says little"
            if arguments.weights is None
            else arguments.weights.resolve().name,
            max_length=arguments.max_length,
            workloads=workloads,
            done=previous,
            lengths={
                name: lengths(tokenizer, collection_queries)
                for name, collection_queries in queries.items()
            },
            loaded={w.name: (w.load_seconds, w.load_megabytes) for w in workers},
            absent={w.name: w.absent for w in started if w.absent is not None},
            profile_shares={},
            made_by=f"secondpass {secondpass.__version__}, {date.today().isoformat()}.",
        )
        measure(arguments, report, workers, queries, until)
    profiles = profile_models(arguments, models, queries[collections[0]])
    print_report(arguments, replace(report, profile_shares=profiles))
    return 0


@contextlib.contextmanager
def engines(
    names: Collection[str], settings: EngineSettings, memory: float, log: Path
) -> Iterator[list[Worker]]:
    """Start all engines, report which are not available, and stop them afterwards."""
    with contextlib.ExitStack() as stack:
        workers = []
        with progress_bar("engines", len(names)) as started:
            for name in names:
                worker = Worker(name, settings, memory=memory, log=log)
                stack.callback(worker.close)
                workers.append(worker)
                started(1)
        for worker in workers:
            if worker.absent is not None:
                message = f"  without {worker.name}: {worker.absent}"
                console.print(message, markup=False, highlight=False)
        yield workers


def measure(
    arguments: argparse.Namespace,
    report: Report,
    workers: Sequence[Worker],
    queries: Mapping[str, Queries],
    until: float,
) -> None:
    """Run the missing rounds, and save the report after each."""

    def keep(done: CompletedRounds) -> None:
        message = f"  round {len(done.seconds)}: {done.seconds[-1]:.0f} s"
        console.print(f"{message}, other load {done.loads[-1]:.2f} cores", highlight=False)
        if arguments.json is not None:
            save(arguments.json, report)

    missing_rounds = max(0, arguments.rounds - len(report.done.seconds))
    with progress_bar("rounds", steps(report.workloads, workers, missing_rounds)) as advance:
        run(
            workers,
            report.workloads,
            queries,
            arguments.rounds,
            lambda _: advance(1),
            done=report.done,
            until=until,
            save=keep,
        )
    if len(report.done.seconds) < arguments.rounds:
        message = f"  rounds: {report.done.rounds}, of {arguments.rounds}"
        console.print(message, highlight=False)


def profile_models(
    arguments: argparse.Namespace, models: Path, queries: Queries
) -> dict[str, Any]:
    """Return the profiles of two models on one query, as far as they are available."""
    query = queries.query(0, min(100, max(arguments.candidates)))
    profiles = {}
    with progress_bar("shares", 2) as advance:
        for name, model in (("secondpass", models / "secondpass-int8"), ("bundled", "bundled")):
            with contextlib.suppress(subprocess.CalledProcessError):
                profiles[name] = profile_shares(
                    model, query, arguments.threads, arguments.max_length
                )
            advance(1)
    return profiles


def lengths(tokenizer: Tokenizer, queries: Queries, count: int = 10) -> list[int]:
    """Return the tokens of each pair of the first `count` questions with 100 candidates."""
    token_counts = []
    for number in range(min(count, len(queries.questions))):
        query = queries.query(number, 100)
        query_tokens = tokenizer.count(query.text) + tokenizer.pair.special
        token_counts += [query_tokens + tokenizer.count(text) for text in query.candidates]
    return token_counts


def print_report(arguments: argparse.Namespace, report: Report) -> None:
    """Print the report; save it with --json and write it into the docs with --write."""
    print(report.markdown(None))
    print()
    print("\n".join(map(str, report.targets)))
    if arguments.json is not None:
        save(arguments.json, report)
    if arguments.write:
        page = write(report)
        console.print(f"Written to {page.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
