"""Memory of reranking 1,000 candidates of 300 tokens, against its limit.

    python benchmarks/memory.py [--candidates 1000] [--tokens 300]

The work runs in a process of its own, whose peak resident size the system reports.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time

LIMIT_MB = 1200
WORDS = ("river", "engine", "treaty", "carbon", "teacher", "market", "cell", "orbit")


def child(candidates: int, tokens: int) -> None:
    """Rerank and print the seconds and the peak resident size in MB."""
    from secondpass import Reranker

    rng = random.Random(0)  # All texts differ: equal ones would be scored only once.
    texts = [" ".join(rng.choices(WORDS, k=tokens)) for _ in range(candidates)]
    reranker = Reranker()
    started = time.perf_counter()
    response = reranker.rerank("Which engine crossed the river?", texts)
    seconds = time.perf_counter() - started
    assert response.usage.pairs >= candidates
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    megabytes = peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    print(f"{seconds:.1f} {megabytes:.0f} {response.usage.pairs} {response.usage.tokens}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.candidates, arguments.tokens)
        return 0
    print(f"Reranking {arguments.candidates} candidates of {arguments.tokens} tokens …")
    command = [sys.executable, __file__, "--child"]
    command += [f"--candidates={arguments.candidates}", f"--tokens={arguments.tokens}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, megabytes, pairs, tokens = done.stdout.split()
    print(f"peak resident size {megabytes} MB   (limit {LIMIT_MB})")
    print(f"{seconds} s, {pairs} windows, {tokens} tokens")
    return 0 if float(megabytes) < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
