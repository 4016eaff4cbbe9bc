"""The second pass over stored document states, beside a cross-encoder without any.

    python benchmarks/second_pass.py --peer FOLDER         # a six-layer MiniLM cross-encoder
    python benchmarks/second_pass.py --threads 1 --counts 100
    python benchmarks/second_pass.py --counts 50 --other FOLDER   # another version of bundled

Paragraphs of the sample, cut to about 150 tokens, are ranked for its questions: by the bundled
reranker with all states in memory, with and without early exit for the first 10, by another
model of stored states if there is one, and by
sentence-transformers (PyTorch, full precision) with the model in FOLDER. All run in turn, so
that other load slows them alike: read the ratios.
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
    parser.add_argument("--other", help="the folder of another precomputed reranker")
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
    reranker = Reranker("bundled", threads=arguments.threads)
    early_exit = Reranker("bundled", threads=arguments.threads, early_exit=True)
    early_exit.base.cache = reranker.base.cache  # type: ignore[attr-defined]
    variants: dict[str, Callable[[str], int]] = {}
    for count in arguments.counts:
        candidates = texts[:count]
        reranker.rerank(questions[0], candidates)
        early_exit.rerank(questions[0], candidates, top_k=TOP)
        variants[f"reranker, {count} documents"] = lambda q, candidates=candidates: (
            reranker.rerank(q, candidates).usage.pairs
        )
        variants[f"reranker with early exit, the first {TOP} of {count}"] = (
            lambda q, candidates=candidates: (
                early_exit.rerank(q, candidates, top_k=TOP).usage.pairs
            )
        )
        if arguments.other is not None:
            other = Reranker(arguments.other, threads=arguments.threads)
            other.rerank(questions[0], candidates)
            variants[f"{arguments.other}, {count} documents"] = (
                lambda q, candidates=candidates, other=other: (
                    other.rerank(q, candidates).usage.pairs
                )
            )
    if arguments.peer is not None:
        import torch
        from sentence_transformers import CrossEncoder

        torch.set_num_threads(arguments.threads)
        # Weights stored in half precision would be computed in it, which is slow on a CPU.
        whole = {"dtype": torch.float32}
        peer = CrossEncoder(arguments.peer, device="cpu", max_length=256, model_kwargs=whole)
        pairs = texts[:100]
        variants["sentence-transformers, 100 documents"] = lambda q: len(
            peer.predict([(q, text) for text in pairs], show_progress_bar=False)
        )
    times: dict[str, list[float]] = {name: [] for name in variants}
    scored: dict[str, list[int]] = {name: [] for name in variants}
    for number in range(arguments.rounds):
        for name, run_variant in variants.items():
            started = time.perf_counter()
            scored[name].append(run_variant(questions[number + 1]))
            times[name].append(time.perf_counter() - started)
    last = statistics.median(times[list(variants)[-1]])
    print("| second pass | scored | ms | share of the last row |")
    print("|---|---|---|---|")
    for name in variants:
        median = statistics.median(times[name])
        count = statistics.median(scored[name])
        print(f"| {name} | {count:.0f} | {1e3 * median:.0f} | {median / last:.3f} |")


if __name__ == "__main__":
    main()
