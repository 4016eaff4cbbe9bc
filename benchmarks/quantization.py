"""Quantization: what int8 costs in quality and saves in time, against full precision.

    python benchmarks/quantization.py speed FP32.onnx INT8.onnx
    python benchmarks/quantization.py rerank FP32 INT8 --collection scifact nfcorpus
    python benchmarks/quantization.py retrieve FP32 INT8 --collection scifact
    python benchmarks/quantization.py operators INT8.onnx

`speed` runs the graphs alternately, so that other load slows both alike, and prints medians.
`rerank` and `retrieve` take folders, and need the evaluation data (SECONDPASS_DATA, default
../shared/data). Of several collections they print the mean change too, with its standard
error, and whether it loses at most `--within`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
from beir import Collection, collection_folder, load, missing
from harness.evaluator import RankingEvaluator
from harness.model_change import Change, Ranked, changes_table, loss_target, top_10_overlap
from harness.progress import progress_bar
from harness.suite import collection_settings

LENGTHS = (32, 64, 128, 256)
TOKENS = 2048
K1, B = 1.2, 0.75


def session(file: Path, threads: int, optimized: str | None = None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if optimized is not None:
        options.optimized_model_filepath = optimized
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def speed(files: list[Path], rounds: int, threads: int) -> None:
    sessions = {file: session(file, threads) for file in files}
    rng = np.random.default_rng(0)
    print("| tokens | rows |" + "".join(f" {f.parent.name}/{f.name}, rows/s |" for f in files))
    print("|---|---|" + "---|" * len(files))
    for tokens in LENGTHS:
        rows = TOKENS // tokens
        ids = rng.integers(1000, 30000, (rows, tokens))
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        times: dict[Path, list[float]] = {file: [] for file in files}
        for _ in range(rounds + 1):
            for file, opened in sessions.items():
                feeds = {i.name: inputs[i.name] for i in opened.get_inputs()}
                start = time.perf_counter()
                opened.run(None, feeds)
                times[file].append(time.perf_counter() - start)
        rates = [rows / statistics.median(times[file][1:]) for file in files]
        print(f"| {tokens} | {rows} |" + "".join(f" {rate:.1f} |" for rate in rates))


def operators(files: list[Path]) -> None:
    import onnx

    for file in files:
        with tempfile.TemporaryDirectory() as folder_name:
            target = str(Path(folder_name) / "optimized.onnx")
            session(file, 1, target)
            counts = Counter(node.op_type for node in onnx.load(target).graph.node)
        print(f"{file}: " + ", ".join(f"{n} {name}" for name, n in counts.most_common()))


def collections(names: list[str], limit: int | None) -> Iterator[Collection]:
    absent = missing(names)
    if absent:
        paths = ", ".join(str(collection_folder(name)) for name in absent)
        raise SystemExit(f"no collection at {paths}: set SECONDPASS_DATA to the data folder")
    for name in names:
        yield load(
            name,
            limit,
            run=collection_settings(name).candidates_file,
            qrels=collection_settings(name).qrels,
        )


def first_candidates(collection: Collection, corpus: dict[str, str], depth: int) -> Ranked:
    """Return the candidates of the collection's own run, or those of a plain BM25."""
    if collection_settings(collection.name).candidates_file is None:
        return bm25(corpus, collection.queries, depth)
    return {q: [d for d, _ in collection.runs.get(q, ())][:depth] for q in collection.queries}


def bm25(corpus: dict[str, str], queries: dict[str, str], depth: int) -> Ranked:
    """Return the top of a plain BM25 without stemming, as a source of candidates."""
    sizes: dict[str, int] = {}
    postings: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for document, text in corpus.items():
        bag = Counter(text.lower().split())
        sizes[document] = sum(bag.values())
        for word, tf in bag.items():
            postings[word].append((document, tf))
    mean = statistics.mean(sizes.values())
    rankings = {}
    for query, text in queries.items():
        scores: dict[str, float] = defaultdict(float)
        for word in set(text.lower().split()):
            df = len(postings.get(word, ()))
            idf = math.log(1 + (len(sizes) - df + 0.5) / (df + 0.5))
            for document, tf in postings.get(word, ()):
                norm = K1 * (1 - B + B * sizes[document] / mean)
                scores[document] += idf * tf * (K1 + 1) / (tf + norm)
        rankings[query] = sorted(scores, key=lambda d: -scores[d])[:depth]
    return rankings


def change(collection: Collection, runs: list[Ranked]) -> Change:
    evaluator = RankingEvaluator(collection.qrels)
    baseline, changed = (evaluator.ndcg(run) for run in runs)
    return Change(collection.name, baseline, changed, top_10_overlap(*runs))


def report(changes: Iterator[Change], args: argparse.Namespace) -> None:
    """Print each collection as soon as it is evaluated."""
    printed, measured = tee(changes)
    for line in changes_table(printed, [path.name for path in args.models]):
        print(line, flush=True)
    print(loss_target(list(measured), args.within))


def rerank(args: argparse.Namespace) -> Iterator[Change]:
    from secondpass.inference.batches import run_batched
    from secondpass.inference.model_folder import open_folder
    from secondpass.inference.runtimes import load_runtime
    from secondpass.inference.tokenizer import Tokenizer
    from secondpass.train.export.calibrate import Pair, pair_sequences

    folders = [open_folder(path) for path in args.models]
    runtimes = [load_runtime(opened, threads=args.threads) for opened in folders]
    for collection in collections(args.collection, args.queries):
        corpus = texts(collection)
        candidates = first_candidates(collection, corpus, args.depth)
        pairs = [
            Pair(collection.queries[q], corpus[d]) for q, ids in candidates.items() for d in ids
        ]
        runs: list[Ranked] = []
        for opened, runtime in zip(folders, runtimes, strict=True):
            tokenizer = Tokenizer(opened.path / "tokenizer.json")
            length = int(opened.manifest["max_length"])
            with progress_bar(f"{collection.name}: {opened.path.name}", len(pairs)) as done:
                scores = iter(
                    run_batched(
                        runtime,
                        pair_sequences(tokenizer, pairs, length),
                        pad_id=tokenizer.pad_id,
                        longest=length,
                        progress=done,
                    )[:, -1].tolist()
                )
            scored = {q: [(next(scores), d) for d in ids] for q, ids in candidates.items()}
            runs.append({q: [d for _, d in sorted(s, reverse=True)] for q, s in scored.items()})
        yield change(collection, runs)


def retrieve(args: argparse.Namespace) -> Iterator[Change]:
    from secondpass.retrieve.embedder import Embedder

    embedders = [Embedder(path) for path in args.models]
    for collection in collections(args.collection, args.queries):
        corpus = texts(collection)
        ids = list(corpus)
        runs: list[Ranked] = []
        for embedder in embedders:
            vectors = embedder.encode(list(corpus.values()))
            scores = embedder.encode(list(collection.queries.values())) @ vectors.T
            runs.append(
                {
                    query: [ids[i] for i in np.argsort(-row, kind="stable")[:100]]
                    for query, row in zip(collection.queries, scores, strict=True)
                }
            )
        yield change(collection, runs)


def texts(collection: Collection) -> dict[str, str]:
    return {str(d.id): f"{d.title or ''} {d.text}".strip() for d in collection.documents}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("speed", "operators", "rerank", "retrieve"))
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--collection", nargs="+", default=["scifact"], metavar="NAME")
    parser.add_argument("--queries", type=int, help="only the first N questions of each")
    parser.add_argument("--depth", type=int, default=50, help="BM25 candidates to rerank")
    parser.add_argument("--within", type=float, default=0.003, help="nDCG@10 that may be lost")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.what in ("rerank", "retrieve") and len(args.models) != 2:
        parser.error(f"{args.what} compares two models, the one in full precision first")
    if args.what == "speed":
        speed(args.models, args.rounds, args.threads)
    elif args.what == "operators":
        operators(args.models)
    elif args.what == "rerank":
        report(rerank(args), args)
    else:
        report(retrieve(args), args)


if __name__ == "__main__":
    main()
