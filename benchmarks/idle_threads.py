"""How idle threads of ONNX Runtime wait for work: the time and processor time of a rerank.

    python benchmarks/idle_threads.py                      # with nothing else to do
    python benchmarks/idle_threads.py --busy 1             # beside one process that computes

The bundled reranker ranks paragraphs of the sample whose states are in memory, with all
threads, and waits in three ways, in turn: spinning until the run ends (what ONNX Runtime does),
spinning for as long as this package lets it, and not at all. Scores must be the same. The
machine may carry other load: its figure is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from beir import load

from secondpass import Reranker
from secondpass.inference.runtimes import onnxruntime

STOP = {"session.force_spinning_stop": "1"}
WAYS = {
    "until the run ends": STOP,
    "as this package does": onnxruntime.WAITING,
    "not at all": {**STOP, "session.intra_op.allow_spinning": "0"},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute meanwhile")
    arguments = parser.parse_args()
    sample = load("sample")
    texts = [d.text for d in sample.documents if d.text is not None][: arguments.candidates]
    questions = list(sample.queries.values())
    rerankers = {}
    for way, settings in WAYS.items():
        onnxruntime.WAITING = settings
        rerankers[way] = Reranker("bundled")
        rerankers[way].rerank(questions[0], texts)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(arguments.busy)
    ]
    try:
        for number in range(arguments.rounds):
            question = questions[number % len(questions)]
            scores = set()
            for way, reranker in rerankers.items():
                started, before = time.perf_counter(), time.process_time()
                response = reranker.rerank(question, texts)
                seconds[way].append(time.perf_counter() - started)
                spent[way].append(time.process_time() - before)
                scores.add(tuple((r.id, r.score) for r in response.results))
            if len(scores) != 1:
                raise SystemExit(f"other scores for {question!r}")
    finally:
        for process in busy:
            process.kill()
    print(f"{arguments.candidates} candidates; load {os.getloadavg()[0]:.1f}; medians")
    for way in WAYS:
        print(
            f"{way:22} {1000 * statistics.median(seconds[way]):6.0f} ms, "
            f"of the processor {1000 * statistics.median(spent[way]):6.0f} ms"
        )


if __name__ == "__main__":
    main()
