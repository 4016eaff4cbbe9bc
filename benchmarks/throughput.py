"""Throughput of the bundled rerankers on texts that are new, and on texts seen before.

    python benchmarks/throughput.py --rounds 5 --threads 1

Paragraphs of the sample are ranked for one of its questions, 50 at a time, by each model in
turn. Read the ratios of medians to the first model: rates depend on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time

from beir import load

from secondpass import Reranker


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["bundled", "bundled-tiny"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    sample = load("sample")
    questions = list(sample.queries.values())
    rerankers = {name: Reranker(name, threads=arguments.threads) for name in arguments.models}
    for reranker in rerankers.values():
        reranker.rerank(questions[0], ["A text to warm up with."])
    new: dict[str, list[float]] = {name: [] for name in rerankers}
    known: dict[str, list[float]] = {name: [] for name in rerankers}
    for number in range(arguments.rounds):
        start = number * arguments.texts
        texts = sample.documents[start : start + arguments.texts]
        for name, reranker in rerankers.items():
            for times, question in ((new, 2 * number), (known, 2 * number + 1)):
                started = time.perf_counter()
                reranker.rerank(questions[question], texts)
                times[name].append(time.perf_counter() - started)
    first = arguments.models[0]
    print("| model | new texts a second | ratio | known texts a second | ratio |")
    print("|---|---|---|---|---|")
    for name in rerankers:
        cells = []
        for times in (new, known):
            median = statistics.median(times[name])
            ratio = statistics.median(times[first]) / median
            cells += [f"{arguments.texts / median:.0f}", f"{ratio:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
