"""How idle threads of ONNX Runtime wait for work: the time and processor time of a rerank.

    python benchmarks/idle_threads.py                      # with nothing else to do
    python benchmarks/idle_threads.py --busy 1             # beside one process that computes

The bundled reranker ranks paragraphs of the sample whose states are in memory, with all
threads, and waits in three ways, in turn: spinning until the run ends (what ONNX Runtime does),
spinning for as long as this package lets it, and not at all. Scores must be the same.

The machine may carry other load: its figure is printed. "undisturbed" is the sum over the
batches that ONNX Runtime reads of the fastest round of each, which other load hardly delayed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

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
    question = next(iter(sample.queries.values()))
    batches = watch_batches()
    rerankers = {}
    for way, settings in WAYS.items():
        onnxruntime.WAITING = settings
        rerankers[way] = Reranker("bundled")
        rerankers[way].rerank(question, texts)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    fastest: dict[str, list[float]] = {}
    scores = set()
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(arguments.busy)
    ]
    try:
        for _ in range(arguments.rounds):
            for way, reranker in rerankers.items():
                batches.clear()
                started, before = time.perf_counter(), time.process_time()
                response = reranker.rerank(question, texts)
                seconds[way].append(time.perf_counter() - started)
                spent[way].append(time.process_time() - before)
                fastest[way] = list(map(min, fastest.get(way, batches), batches))
                scores.add(tuple((r.id, r.score) for r in response.results))
    finally:
        for process in busy:
            process.kill()
    if len(scores) != 1:
        raise SystemExit("the scores differ")
    print(f"{arguments.candidates} candidates; load {os.getloadavg()[0]:.1f}; medians")
    for way in WAYS:
        print(
            f"{way:22} {1000 * statistics.median(seconds[way]):6.0f} ms, "
            f"of the processor {1000 * statistics.median(spent[way]):6.0f} ms; "
            f"undisturbed {1000 * sum(fastest[way]):6.1f} ms"
        )


def watch_batches() -> list[float]:
    """Return a list to which each batch of ONNX Runtime adds its seconds from now on."""
    seconds: list[float] = []
    run = onnxruntime.OnnxRuntime.run_named

    def timed(runtime: onnxruntime.OnnxRuntime, *arguments: Any) -> Any:
        started = time.perf_counter()
        outputs = run(runtime, *arguments)
        seconds.append(time.perf_counter() - started)
        return outputs

    onnxruntime.OnnxRuntime.run_named = timed  # type: ignore[method-assign,assignment]
    return seconds


if __name__ == "__main__":
    main()
