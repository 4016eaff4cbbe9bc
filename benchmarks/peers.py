"""How fast this reranks beside others: same pairs, same weights, same threads.

    python benchmarks/peers.py                        # all of it
    python benchmarks/peers.py --quick                # a look at whether everything runs
    python benchmarks/peers.py --weights FOLDER       # trained: agreement means something
    python benchmarks/peers.py --write                # and put it into the docs
    python benchmarks/peers.py --minutes 60 --json FILE   # the rounds that fit into an hour
    python benchmarks/peers.py --resume FILE          # and those that are missing

`make bench` runs it in an environment of its own, .venv-bench. Each engine lives in a
process of its own; the rounds go through all of them in turn. See benchmarks/README.md.
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
from speed.engines import ENGINES, TORCH, Setting
from speed.machine import machine
from speed.prepare import STEPS, folder_for, prepare
from speed.profile import shares
from speed.report import Report
from speed.results import Done
from speed.resume import conditions, resumed, save
from speed.rounds import run, steps
from speed.worker_client import Worker
from speed.workloads import SAMPLE, Queries, available, plan

import secondpass
from secondpass.inference.tokenizer import Tokenizer

CACHE = ROOT / ".cache" / "speed"
COLLECTIONS = ("squad-dev", "scifact", "wikiqa-rerank")
SIZES = (20, 50, 100, 1000)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--weights", type=Path, metavar="FOLDER", help="a transformers cross-encoder")
    add("--data", type=Path, metavar="DIR", help="collections in BEIR layout, one folder each")
    add("--collections", nargs="+", default=list(COLLECTIONS), metavar="NAME")
    add("--engines", nargs="+", choices=list(ENGINES), metavar="NAME", default=list(ENGINES))
    add("--candidates", nargs="+", type=int, default=list(SIZES), metavar="N")
    add("--rounds", type=int, default=5, help="at most so many, those of --resume included")
    add(
        "--minutes",
        type=float,
        default=math.inf,
        metavar="N",
        help="begin no round after the first that, at the median so far, would end later",
    )
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--max-length", type=int, default=256, help="tokens of a pair, the same for all")
    add("--memory", type=float, default=10.0, help="GB one engine may take")
    add("--quick", action="store_true", help="one round, of 20 and 100 candidates if not told")
    add("--json", type=Path, metavar="FILE", help="write everything there, after every round")
    add(
        "--resume",
        type=Path,
        metavar="FILE",
        help="go on after the whole rounds in there, of the same machine, versions, weights,"
        " texts, candidates and engines; written back there without --json",
    )
    add("--write", action="store_true", help="put it into docs/explanation/speed.md")
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
    arguments = parsed()
    until += arguments.minutes * 60
    if arguments.data is not None:
        beir.EVAL = arguments.data
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "log.txt"
    models = folder_for(CACHE, arguments.weights, arguments.max_length)
    collections = available(arguments.collections)
    if collections == [SAMPLE] and SAMPLE not in arguments.collections:
        console.print("None of the collections is there: the sample that the repository ships")
    queries = {name: Queries(name) for name in collections}
    loads = plan(collections, arguments.candidates, quick=arguments.quick)
    names = dict.fromkeys([TORCH, *arguments.engines])
    facts = machine(arguments.threads)
    same = conditions(models, queries, loads, names)
    before = Done()
    if arguments.resume is not None:
        try:
            before = resumed(arguments.resume, facts, same)
        except ValueError as error:
            raise SystemExit(f"--resume: {error}") from None
    with progress_bar("models", len(STEPS)) as made:
        for step in prepare(models, arguments.weights, arguments.max_length, log):
            console.print(f"  {step}", highlight=False)
            made(1)
    setting = Setting(models, arguments.threads, arguments.max_length)
    with engines(names, setting, arguments.memory, log) as started:
        workers = [w for w in started if w.absent is None]
        changed = {r.engine for r in before.results} ^ {w.name for w in workers}
        if before.results and changed:
            raise SystemExit(f"--resume: in some rounds only: {', '.join(sorted(changed))}")
        tokeniser = Tokenizer(models / "weights" / "tokenizer.json")
        whole = Report(
            machine=facts,
            conditions=same,
            weights="untrained head: agreement says little"
            if arguments.weights is None
            else arguments.weights.resolve().name,
            max_length=arguments.max_length,
            workloads=loads,
            done=before,
            lengths={name: lengths(tokeniser, found) for name, found in queries.items()},
            loaded={w.name: (w.load_seconds, w.load_megabytes) for w in workers},
            absent={w.name: w.absent for w in started if w.absent is not None},
            shares={},
            made_by=f"secondpass {secondpass.__version__}, {date.today().isoformat()}.",
        )
        measure(arguments, whole, workers, queries, until)
    apart = taken_apart(arguments, models, queries[collections[0]])
    report(arguments, replace(whole, shares=apart))
    return 0


@contextlib.contextmanager
def engines(
    names: Collection[str], setting: Setting, memory: float, log: Path
) -> Iterator[list[Worker]]:
    """Start all engines, say which cannot take part, and end them afterwards."""
    with contextlib.ExitStack() as stack:
        workers = []
        with progress_bar("engines", len(names)) as started:
            for name in names:
                worker = Worker(name, setting, memory=memory, log=log)
                stack.callback(worker.close)
                workers.append(worker)
                started(1)
        for worker in workers:
            if worker.absent is not None:
                told = f"  without {worker.name}: {worker.absent}"
                console.print(told, markup=False, highlight=False)
        yield workers


def measure(
    arguments: argparse.Namespace,
    whole: Report,
    workers: Sequence[Worker],
    queries: Mapping[str, Queries],
    until: float,
) -> None:
    """Add the rounds that are missing to the report, and keep it after each."""

    def keep(_: Done) -> None:
        if arguments.json is not None:
            save(arguments.json, whole)

    missing = max(0, arguments.rounds - len(whole.done.seconds))
    with progress_bar("rounds", steps(whole.workloads, workers, missing)) as measured:
        run(
            workers,
            whole.workloads,
            queries,
            arguments.rounds,
            lambda _: measured(1),
            done=whole.done,
            until=until,
            keep=keep,
        )
    if len(whole.done.seconds) < arguments.rounds:
        told = f"  rounds: {whole.done.rounds}, of {arguments.rounds}"
        console.print(told, highlight=False)


def taken_apart(
    arguments: argparse.Namespace, models: Path, queries: Queries
) -> dict[str, Any]:
    """Return the profiles of our two models on one query, of those that can be had."""
    query = queries.query(0, min(100, max(arguments.candidates)))
    found = {}
    with progress_bar("shares", 2) as taken:
        for name, model in (("secondpass", models / "secondpass-int8"), ("bundled", "bundled")):
            with contextlib.suppress(subprocess.CalledProcessError):
                found[name] = shares(model, query, arguments.threads, arguments.max_length)
            taken(1)
    return found


def lengths(tokeniser: Tokenizer, queries: Queries, some: int = 10) -> list[int]:
    """Return the tokens of each pair of a few questions with 100 candidates."""
    found = []
    for number in range(min(some, len(queries.questions))):
        query = queries.query(number, 100)
        fixed = tokeniser.count(query.text) + tokeniser.pair.special
        found += [fixed + tokeniser.count(text) for text in query.candidates]
    return found


def report(arguments: argparse.Namespace, whole: Report) -> None:
    """Print, and write where it was asked for."""
    print(whole.markdown(None))
    print()
    print("\n".join(map(str, whole.promised)))
    if arguments.json is not None:
        save(arguments.json, whole)
    if arguments.write:
        page = write(whole)
        console.print(f"Written to {page.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
