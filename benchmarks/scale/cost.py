"""What an index costs by its size: ingestion, bytes, memory and searches.

    python benchmarks/scale/encoded_passages.py --encoded 10000    # once; may be stopped
    python benchmarks/scale/cost.py --sizes 10000 100000 --places local object
    python benchmarks/scale/cost.py --sizes 1000000 --steps build --minutes 60
    python benchmarks/scale/cost.py --sizes 1000000 --steps search
    python benchmarks/scale/cost.py --write                        # the page and its plot

Each step of a size is a process with its own time limit. Results are appended to
.cache/scale/results.jsonl; a step that is there is not run again, but for `--again`. "object"
is the layout of object storage in a folder (file:///). Vectors and states of the first passages
are those of the real encoder; the others are recombined, with noise, and do not go through it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.build_index import build
from scale.encoded_passages import CACHE, encode, encoding_times
from scale.scale_page import write_page
from scale.time_searches import search

RESULTS = CACHE / "results.jsonl"


def read_results(file: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the rows of the results file; of the same step, place and size, the last one."""
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    rows = [json.loads(line) for line in lines if line.strip()]
    return list({(r["kind"], r["place"], r["passages"]): r for r in rows}.values())


def run_step(step: str, place: str, size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one step in this process; return its row."""
    encoded = encode(arguments.encoded)
    if step == "build":
        row = asdict(build(place, size, encoded, arguments.states))
    else:
        row = asdict(search(place, size, encoded, arguments.queries, arguments.rounds))
    load = os.getloadavg()[0]
    return {**row, "load": load, "cores": os.cpu_count(), "encoding": encoding_times()}


def steps(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Yield the steps that are not in the results file."""
    known = {(r["kind"], r["place"], r["passages"]) for r in read_results()}
    for size, place, step in product(arguments.sizes, arguments.places, arguments.steps):
        if arguments.again or (step, place, size) not in known:
            yield step, place, size


def run_steps(arguments: argparse.Namespace) -> int:
    """Run steps in processes of their own; return how many failed or ran out of time."""
    failed = 0
    for step, place, size in steps(arguments):
        options = {
            "--encoded": arguments.encoded,
            "--states": arguments.states,
            "--queries": arguments.queries,
            "--rounds": arguments.rounds,
        }
        command = [sys.executable, __file__, "--one", step, place, str(size)]
        command += [str(part) for option in options.items() for part in option]
        print(f"{step} {place} {size:,}", file=sys.stderr)
        try:
            subprocess.run(command, check=True, timeout=arguments.minutes * 60)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            print(f"not measured: {step} {place} {size:,}: {error}", file=sys.stderr)
            failed += 1
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    parser.add_argument("--places", nargs="+", default=["local"], choices=["local", "object"])
    parser.add_argument("--steps", nargs="+", default=["build", "search"], metavar="STEP")
    parser.add_argument("--encoded", type=int, default=10_000, metavar="N")
    parser.add_argument(
        "--states",
        type=int,
        default=20_000,
        metavar="N",
        help="store the states of so many passages; their bytes are extrapolated to the others",
    )
    parser.add_argument("--queries", type=int, default=40, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="fresh processes")
    parser.add_argument("--minutes", type=float, default=60, help="time limit of one step")
    parser.add_argument("--again", action="store_true", help="measure known steps again")
    parser.add_argument("--write", action="store_true", help="write the page and its plot")
    parser.add_argument(
        "--one", nargs=3, metavar=("STEP", "PLACE", "N"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.one is not None:
        step, place, size = arguments.one
        row = run_step(step, place, int(size), arguments)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
    elif arguments.write:
        print(write_page(read_results()))
    else:
        sys.exit(1 if run_steps(arguments) else 0)


if __name__ == "__main__":
    main()
