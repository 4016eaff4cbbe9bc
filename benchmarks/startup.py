"""Startup: the time of the import and of the help, against their limits.

    python benchmarks/startup.py [--rounds 15]

Each round runs a bare interpreter, the import and the help one after the other, so that other
load affects all three alike. The import is measured by the median of the paired differences
(the package's own share), the help by the median of its whole time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

IMPORT_LIMIT = 0.15
HELP_LIMIT = 0.40


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    program = Path(sys.executable).with_name("secondpass")
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import secondpass"],
        "help": [str(program), "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            elapsed = seconds(command)
            if number:  # the first round fills the disk cache
                times[name].append(elapsed)
    differences = [i - b for i, b in zip(times["import"], times["bare"], strict=True)]
    bare, import_time, help_time = (
        statistics.median(t) for t in (times["bare"], differences, times["help"])
    )
    print(f"python -c pass            {bare:.3f} s")
    print(f"import secondpass        +{import_time:.3f} s   (limit {IMPORT_LIMIT})")
    print(f"secondpass --help         {help_time:.3f} s   (limit {HELP_LIMIT})")
    within_limits = import_time < IMPORT_LIMIT and help_time < HELP_LIMIT
    if not within_limits:
        print("Too slow. See what is loaded: python -X importtime -c 'import secondpass'")
    return 0 if within_limits else 1


if __name__ == "__main__":
    sys.exit(main())
