"""How long the import and the help take, against their limits.

    python benchmarks/startup.py [--rounds 15]

Each round runs a bare interpreter, the import and the help one after the other, so that
what else the machine does hits all three alike. What counts is the median of the paired
differences for the import (the package's own share) and of the whole for the help.
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
            took = seconds(command)
            if number:  # the first round fills the disk cache
                times[name].append(took)
    paired = [i - b for i, b in zip(times["import"], times["bare"], strict=True)]
    bare, own, shown = (statistics.median(t) for t in (times["bare"], paired, times["help"]))
    print(f"python -c pass            {bare:.3f} s")
    print(f"import secondpass        +{own:.3f} s   (limit {IMPORT_LIMIT})")
    print(f"secondpass --help         {shown:.3f} s   (limit {HELP_LIMIT})")
    fine = own < IMPORT_LIMIT and shown < HELP_LIMIT
    if not fine:
        print("Too slow. See what is loaded: python -X importtime -c 'import secondpass'")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
