"""How fast this reranks beside others: same pairs, same weights, same threads.

    python benchmarks/peers.py                        # all of it
    python benchmarks/peers.py --quick                # a look at whether everything runs
    python benchmarks/peers.py --weights FOLDER       # trained: agreement means something
    python benchmarks/peers.py --write                # and put it into the docs

`make bench` runs it in an environment of its own, .venv-bench. Each engine lives in a
process of its own; the rounds go through all of them in turn. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import beir
from beir import ROOT
from measuring.progress import bar, console
from speed.bars import bars
from speed.engines import ENGINES, TORCH, Setting
from speed.machine import machine
from speed.page import write
from speed.prepare import STEPS, folder_for, prepare
from speed.process import Worker
from speed.report import Report
from speed.rounds import run, steps
from speed.shares import shares
from speed.workloads import SAMPLE, Queries, available, plan

import secondpass
from secondpass.engine.tokenise import Tokeniser

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
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--max-length", type=int, default=256, help="tokens of a pair, the same for all")
    add("--memory", type=float, default=10.0, help="GB one engine may take")
    add("--quick", action="store_true", help="one round, of 20 and 100 candidates if not told")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    add("--write", action="store_true", help="put it into docs/explanation/speed.md")
    arguments = parser.parse_args()
    for name in ("rounds", "threads", "max_length"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
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
    arguments = parsed()
    if arguments.data is not None:
        beir.EVAL = arguments.data
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "log.txt"
    models = folder_for(CACHE, arguments.weights, arguments.max_length)
    with bar("models", len(STEPS)) as made:
        for step in prepare(models, arguments.weights, arguments.max_length, log):
            console.print(f"  {step}", highlight=False)
            made(1)
    collections = available(arguments.collections)
    if collections == [SAMPLE] and SAMPLE not in arguments.collections:
        console.print("None of the collections is there: the sample that the repository ships")
    queries = {name: Queries(name) for name in collections}
    loads = plan(collections, arguments.candidates, quick=arguments.quick)
    setting = Setting(models, arguments.threads, arguments.max_length)
    names = dict.fromkeys([TORCH, *arguments.engines])
    with contextlib.ExitStack() as stack:
        workers = []
        with bar("engines", len(names)) as started:
            for name in names:
                worker = Worker(name, setting, memory=arguments.memory, log=log)
                stack.callback(worker.close)
                workers.append(worker)
                started(1)
        absent = {w.name: w.absent for w in workers if w.absent is not None}
        for name, reason in absent.items():
            console.print(f"  without {name}: {reason}", markup=False, highlight=False)
        workers = [w for w in workers if w.absent is None]
        with bar("rounds", steps(loads, workers, arguments.rounds)) as measured:
            results = run(workers, loads, queries, arguments.rounds, lambda _: measured(1))
    apart = taken_apart(arguments, models, queries[collections[0]])
    tokeniser = Tokeniser(models / "weights" / "tokenizer.json")
    whole = Report(
        machine=machine(arguments.threads),
        weights="untrained head: agreement says little"
        if arguments.weights is None
        else arguments.weights.resolve().name,
        rounds=max(len(r.rates) for r in results),
        max_length=arguments.max_length,
        workloads=loads,
        results=results,
        lengths={name: lengths(tokeniser, found) for name, found in queries.items()},
        loaded={w.name: (w.load_seconds, w.load_megabytes) for w in workers},
        absent=absent,
        bars=list(bars(results, collections[0])),
        shares=apart,
        made_by=f"secondpass {secondpass.__version__}, {date.today().isoformat()}.",
    )
    report(arguments, whole)
    return 0


def taken_apart(
    arguments: argparse.Namespace, models: Path, queries: Queries
) -> dict[str, Any]:
    """Return the profiles of our two models on one query, of those that can be had."""
    query = queries.query(0, min(100, max(arguments.candidates)))
    found = {}
    with bar("shares", 2) as taken:
        for name, model in (("secondpass", models / "secondpass-int8"), ("bundled", "bundled")):
            with contextlib.suppress(subprocess.CalledProcessError):
                found[name] = shares(model, query, arguments.threads, arguments.max_length)
            taken(1)
    return found


def lengths(tokeniser: Tokeniser, queries: Queries, some: int = 10) -> list[int]:
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
    print("\n".join(map(str, whole.bars)))
    if arguments.json is not None:
        found = {
            "machine": whole.machine,
            "weights": whole.weights,
            "rounds": whole.rounds,
            "max_length": whole.max_length,
            "results": [r.as_json() for r in whole.results],
            "absent": whole.absent,
            "loading": whole.loaded,
            "shares": whole.shares,
            "bars": [{"text": b.text, "met": b.met} for b in whole.bars],
        }
        arguments.json.write_text(json.dumps(found, indent=1), "utf-8")
    if arguments.write:
        page = write(whole)
        console.print(f"Written to {page.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
