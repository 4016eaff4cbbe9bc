"""Startup: the time of the import, of the help, and of one search, against their limits.

    python benchmarks/startup.py [--rounds 15] [--index FOLDER] [--other CHECKOUT]

Each round runs a bare interpreter, the import, the help and a search one after the other, each
in a process of its own, so that other load affects all alike. The import is measured by the
median of the paired differences (the package's own share), the others by the median of their
whole time, to the end of the process. Processor time is shown too: other load lengthens it
less. The stages of the search are those that the command itself reports, medians as well.

The processes keep compiled modules, as pip does when it installs a package: otherwise compiling
those of a checkout takes 200 ms each time.

`--other` is the checkout of another version, whose search runs in each round too: what its time
is multiplied by in this one is printed, the median of the rounds, and whether results differ.

The index is made of examples/wikipedia, in a temporary folder, unless there is one. PyArrow
would load pandas where it is installed, which no search needs: whether it is there is printed.
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


def measure(command: list[str], source: Path | None = None) -> tuple[float, float, str]:
    """Return the seconds of a process, its processor seconds, and its standard output.

    `source` is where the package is imported from, if not from where this process does.
    """
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
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
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
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
        other = None if arguments.other is None else arguments.other / "src"
        return report(commands, arguments.rounds, other)


def report(commands: dict[str, list[str]], rounds: int, other: Path | None) -> int:
    """Run the rounds, print their medians, and return the exit code."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    spent: dict[str, list[float]] = {name: [] for name in commands}
    stages: list[dict[str, float]] = []
    ratios: list[tuple[float, float]] = []
    results: set[str] = set()
    for number in range(rounds + 1):
        for name, command in commands.items():
            elapsed, processor_time, output = measure(command)
            if name == "search" and other is not None and not number:
                measure(command, other)
            if number:  # the first round fills the disk cache
                times[name].append(elapsed)
                spent[name].append(processor_time)
                if name == "search":
                    found = json.loads(output)
                    stages.append(found.pop("timings"))
                    results.add(json.dumps(found))
                    ratios += compare(commands[name], other, elapsed, processor_time, results)
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
    if ratios:
        wall, busy = (statistics.median(pair) for pair in zip(*ratios, strict=True))
        same = "the same results" if len(results) == 1 else "OTHER RESULTS"
        print(f"of the time of {other}: {wall:.2f}, of the processor {busy:.2f}; {same}")
    within_limits = (
        import_time < IMPORT_LIMIT and help_time < HELP_LIMIT and search_time < SEARCH_LIMIT
    )
    if not within_limits:
        print("Too slow. See what is loaded: python -X importtime -c 'import secondpass'")
    return 0 if within_limits else 1


def compare(
    command: list[str], other: Path | None, elapsed: float, spent: float, results: set[str]
) -> list[tuple[float, float]]:
    """Search with the other checkout: add its result, and return our times in parts of its."""
    if other is None:
        return []
    other_elapsed, other_spent, output = measure(command, other)
    found = json.loads(output)
    del found["timings"]
    results.add(json.dumps(found))
    return [(elapsed / other_elapsed, spent / other_spent)]


if __name__ == "__main__":
    sys.exit(main())
