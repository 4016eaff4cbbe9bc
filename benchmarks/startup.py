"""Startup: the time of the import, of the help, and of one search, against their limits.

    python benchmarks/startup.py [--rounds 15] [--index FOLDER]

Each round runs a bare interpreter, the import, the help and a search one after the other, each
in a process of its own, so that other load affects all alike. The import is measured by the
median of the paired differences (the package's own share), the others by the median of their
whole time, to the end of the process. Processor time is shown too: other load lengthens it
less. The stages of the search are those that the command itself reports, medians as well.

The index is made of examples/wikipedia, in a temporary folder, unless there is one. LanceDB
loads pandas where it is installed, and nothing of secondpass needs it: whether it is there is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from speed.machine import kernels, processor

IMPORT_LIMIT = 0.15
HELP_LIMIT = 0.40
SEARCH_LIMIT = 0.80
QUERY = "When did the plague reach Europe?"
SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "wikipedia"


def measure(command: list[str]) -> tuple[float, float, str]:
    """Return the seconds of a process, its processor seconds, and its standard output."""
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    elapsed = time.perf_counter() - started
    after = os.times()
    spent = after.children_user + after.children_system
    return elapsed, spent - before.children_user - before.children_system, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--index", type=Path, help="an index of examples/wikipedia")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        index = arguments.index
        program = [sys.executable, "-m", "secondpass"]
        if index is None:
            index = Path(temporary) / "index"
            measure([*program, "index", str(SAMPLE), "--index", str(index)])
        commands = {
            "bare": [sys.executable, "-c", "pass"],
            "import": [sys.executable, "-c", "import secondpass"],
            "help": [*program, "--help"],
            "search": [*program, "search", QUERY, "--index", str(index), "--json"],
        }
        return report(commands, arguments.rounds)


def report(commands: dict[str, list[str]], rounds: int) -> int:
    """Run the rounds, print their medians, and return the exit code."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    spent: dict[str, list[float]] = {name: [] for name in commands}
    stages: list[dict[str, float]] = []
    for number in range(rounds + 1):
        for name, command in commands.items():
            elapsed, processor_time, output = measure(command)
            if number:  # the first round fills the disk cache
                times[name].append(elapsed)
                spent[name].append(processor_time)
                if name == "search":
                    stages.append(json.loads(output)["timings"])
    differences = [i - b for i, b in zip(times["import"], times["bare"], strict=True)]
    bare, import_time, help_time, search_time = (
        statistics.median(t)
        for t in (times["bare"], differences, times["help"], times["search"])
    )
    pandas = "with" if find_spec("pandas") else "without"
    print(f"{processor()}; kernels {kernels()}; {pandas} pandas; load {os.getloadavg()[0]:.1f}")
    processor_times = {name: statistics.median(of) for name, of in spent.items()}
    print(f"python -c pass            {bare:.3f} s")
    print(f"import secondpass        +{import_time:.3f} s   (limit {IMPORT_LIMIT})")
    print(f"secondpass --help         {help_time:.3f} s   (limit {HELP_LIMIT})")
    print(
        f"secondpass search         {search_time:.3f} s   (limit {SEARCH_LIMIT}), "
        f"of the processor {processor_times['search']:.3f} s"
    )
    names = dict.fromkeys(name for found in stages for name in found)
    for name in names:
        median = statistics.median(found.get(name, 0.0) for found in stages)
        print(f"  {name:10} {median:7.0f} ms")
    within_limits = (
        import_time < IMPORT_LIMIT and help_time < HELP_LIMIT and search_time < SEARCH_LIMIT
    )
    if not within_limits:
        print("Too slow. See what is loaded: python -X importtime -c 'import secondpass'")
    return 0 if within_limits else 1


if __name__ == "__main__":
    sys.exit(main())
