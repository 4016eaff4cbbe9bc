"""The second pass over documents that are kept, against a cross-encoder that reads them anew.

    python benchmarks/second_pass.py --peer FOLDER         # a six-layer MiniLM cross-encoder
    python benchmarks/second_pass.py --threads 1 --counts 100

Paragraphs of the sample, cut to about 150 tokens, are ranked for its questions: by the bundled
reader with every record in memory, reading all and leaving out what cannot be among the first
10, and by sentence-transformers (PyTorch, full precision) with the model in FOLDER. All take
turns, so that a busy machine slows them alike: read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from beir import load

from secondpass import Reranker

WORDS, TOP = 105, 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="a folder that sentence-transformers can open")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    sample = load("sample")
    questions = list(sample.queries.values())
    texts = [
        " ".join(document.text.split()[:WORDS])
        for document in sample.documents
        if document.text is not None and len(document.text.split()) >= WORDS
    ]
    while len(texts) < max(arguments.counts):
        texts += [f"{text} {len(texts)}" for text in texts]
    reader = Reranker("bundled", threads=arguments.threads)
    exits = Reranker("bundled", threads=arguments.threads, early_exit=True)
    exits.backend.cache = reader.backend.cache  # type: ignore[attr-defined]
    ways: dict[str, Callable[[str], int]] = {}
    for count in arguments.counts:
        some = texts[:count]
        reader.rerank(questions[0], some)
        exits.rerank(questions[0], some, top_k=TOP)
        ways[f"reader, {count} documents"] = lambda q, some=some: (
            reader.rerank(q, some).usage.pairs
        )
        ways[f"reader with exits, the first {TOP} of {count}"] = lambda q, some=some: (
            exits.rerank(q, some, top_k=TOP).usage.pairs
        )
    if arguments.peer is not None:
        import torch
        from sentence_transformers import CrossEncoder

        torch.set_num_threads(arguments.threads)
        # Weights stored in half precision would be computed in it, which is slow on a CPU.
        whole = {"dtype": torch.float32}
        peer = CrossEncoder(arguments.peer, device="cpu", max_length=256, model_kwargs=whole)
        pairs = texts[:100]
        ways["sentence-transformers, 100 documents"] = lambda q: len(
            peer.predict([(q, text) for text in pairs], show_progress_bar=False)
        )
    times: dict[str, list[float]] = {name: [] for name in ways}
    read: dict[str, list[int]] = {name: [] for name in ways}
    for turn in range(arguments.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            read[name].append(way(questions[turn + 1]))
            times[name].append(time.perf_counter() - started)
    last = statistics.median(times[list(ways)[-1]])
    print("| second pass | read | ms | share of the last row |")
    print("|---|---|---|---|")
    for name in ways:
        took = statistics.median(times[name])
        count = statistics.median(read[name])
        print(f"| {name} | {count:.0f} | {1e3 * took:.0f} | {took / last:.3f} |")


if __name__ == "__main__":
    main()
