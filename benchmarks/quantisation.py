"""What int8 costs in quality and saves in time, against full precision.

    python benchmarks/quantisation.py speed FP32.onnx INT8.onnx
    python benchmarks/quantisation.py rerank FP32_FOLDER INT8_FOLDER --collection scifact
    python benchmarks/quantisation.py retrieve FP32_FOLDER INT8_FOLDER --collection scifact
    python benchmarks/quantisation.py operators INT8.onnx

`speed` runs the graphs in turn, so that a busy machine slows both alike, and prints medians.
`rerank` and `retrieve` need the evaluation data (SECONDPASS_DATA, default ../shared/data).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SECONDPASS_DATA", HERE.parent / "shared" / "data"))
LENGTHS = (32, 64, 128, 256)
TOKENS = 2048
K1, B = 1.2, 0.75


def session(file: Path, threads: int, optimised: str | None = None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if optimised is not None:
        options.optimized_model_filepath = optimised
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def speed(files: list[Path], rounds: int, threads: int) -> None:
    sessions = {file: session(file, threads) for file in files}
    random = np.random.default_rng(0)
    print("| tokens | rows |" + "".join(f" {f.parent.name}/{f.name}, rows/s |" for f in files))
    print("|---|---|" + "---|" * len(files))
    for tokens in LENGTHS:
        rows = TOKENS // tokens
        ids = random.integers(1000, 30000, (rows, tokens))
        every = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        times: dict[Path, list[float]] = {file: [] for file in files}
        for _ in range(rounds + 1):
            for file, one in sessions.items():
                feeds = {i.name: every[i.name] for i in one.get_inputs()}
                start = time.perf_counter()
                one.run(None, feeds)
                times[file].append(time.perf_counter() - start)
        rates = [rows / statistics.median(times[file][1:]) for file in files]
        print(f"| {tokens} | {rows} |" + "".join(f" {rate:.1f} |" for rate in rates))


def operators(files: list[Path]) -> None:
    import onnx

    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            target = str(Path(folder) / "optimised.onnx")
            session(file, 1, target)
            counts = Counter(node.op_type for node in onnx.load(target).graph.node)
        print(f"{file}: " + ", ".join(f"{n} {name}" for name, n in counts.most_common()))


def lines(file: Path) -> list[dict[str, Any]]:
    packed = file.with_name(file.name + ".gz")
    if packed.is_file():
        with gzip.open(packed, "rt", encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def collection(name: str, limit: int | None) -> tuple[dict[str, str], dict[str, str], Any]:
    folder = DATA / "eval" / name
    if not folder.is_dir():
        raise SystemExit(f"no collection at {folder}: set SECONDPASS_DATA to the data folder")
    rows = lines(folder / "corpus.jsonl")
    corpus = {str(r["_id"]): f"{r.get('title') or ''} {r['text']}".strip() for r in rows}
    file = folder / "qrels" / "test.tsv"
    packed = file.with_name("test.tsv.gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.is_file() else file.read_bytes()
    judged: dict[str, dict[str, int]] = {}
    for line in raw.decode().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged.setdefault(query, {})[document] = int(grade)
    asked = {str(r["_id"]): r["text"] for r in lines(folder / "queries.jsonl")}
    wanted = [q for q in asked if q in judged][:limit]
    return corpus, {q: asked[q] for q in wanted}, judged


def ndcg(ranked: list[str], grades: dict[str, int], depth: int = 10) -> float:
    gain = sum(grades.get(d, 0) / math.log2(i + 2) for i, d in enumerate(ranked[:depth]))
    ideal = sorted(grades.values(), reverse=True)[:depth]
    best = sum(g / math.log2(i + 2) for i, g in enumerate(ideal))
    return gain / best if best else 0.0


def bm25(corpus: dict[str, str], queries: dict[str, str], depth: int) -> dict[str, list[str]]:
    """The top of a plain BM25 without stemming: only a source of candidates here."""
    bags = {d: Counter(t.lower().split()) for d, t in corpus.items()}
    sizes = {d: sum(bag.values()) for d, bag in bags.items()}
    mean = statistics.mean(sizes.values())
    df = Counter(word for bag in bags.values() for word in bag)
    found = {}
    for query, text in queries.items():
        scores = Counter[str]()
        for word in set(text.lower().split()):
            if not df[word]:
                continue
            idf = math.log(1 + (len(bags) - df[word] + 0.5) / (df[word] + 0.5))
            for document, bag in bags.items():
                if tf := bag[word]:
                    norm = K1 * (1 - B + B * sizes[document] / mean)
                    scores[document] += idf * tf * (K1 + 1) / (tf + norm)
        found[query] = [d for d, _ in scores.most_common(depth)]
    return found


def report(runs: list[dict[str, list[str]]], judged: Any, names: list[str]) -> None:
    values = [[ndcg(run[q], judged[q]) for q in run] for run in runs]
    for name, value in zip(names, values, strict=True):
        print(f"{name}: nDCG@10 {statistics.mean(value):.4f} over {len(value)} questions")
    kept = [
        len(set(run[:10]) & set(runs[1][q][:10])) / min(10, len(run))
        for q, run in runs[0].items()
        if run
    ]
    changes = [b - a for a, b in zip(*values, strict=True)]
    error = statistics.stdev(changes) / math.sqrt(len(changes))
    print(
        f"change {statistics.mean(changes):+.4f} ± {error:.4f} (standard error), "
        f"top-10 overlap {statistics.mean(kept):.3f}"
    )


def rerank(args: argparse.Namespace) -> None:
    from secondpass.engine.encoder import run_batched
    from secondpass.engine.folder import open_folder
    from secondpass.engine.runtimes import load_runtime
    from secondpass.engine.tokenise import Tokeniser
    from secondpass.train.calibrate import Pair, pair_sequences

    corpus, queries, judged = collection(args.collection, args.queries)
    candidates = bm25(corpus, queries, args.depth)
    runs = []
    for path in args.models:
        folder = open_folder(path)
        tokeniser = Tokeniser(path / "tokenizer.json")
        length = int(folder.manifest["max_length"])
        pairs = [Pair(queries[q], corpus[d]) for q, found in candidates.items() for d in found]
        scores = iter(
            run_batched(
                load_runtime(folder),
                pair_sequences(tokeniser, pairs, length),
                pad_id=tokeniser.pad_id,
                longest=length,
            )[:, -1].tolist()
        )
        scored = {q: [(next(scores), d) for d in found] for q, found in candidates.items()}
        runs.append({q: [d for _, d in sorted(s, reverse=True)] for q, s in scored.items()})
    report(runs, judged, [str(path) for path in args.models])


def retrieve(args: argparse.Namespace) -> None:
    from secondpass.retrieve.embedder import Embedder

    corpus, queries, judged = collection(args.collection, args.queries)
    ids = list(corpus)
    runs = []
    for path in args.models:
        embedder = Embedder(path)
        vectors = embedder.encode(list(corpus.values()))
        scores = embedder.encode(list(queries.values())) @ vectors.T
        runs.append(
            {
                query: [ids[i] for i in np.argsort(-row, kind="stable")[:100]]
                for query, row in zip(queries, scores, strict=True)
            }
        )
    report(runs, judged, [str(path) for path in args.models])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("speed", "operators", "rerank", "retrieve"))
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--collection", default="scifact")
    parser.add_argument("--queries", type=int, help="only the first N questions")
    parser.add_argument("--depth", type=int, default=50, help="BM25 candidates to rerank")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.what == "speed":
        speed(args.models, args.rounds, args.threads)
    elif args.what == "operators":
        operators(args.models)
    elif args.what == "rerank":
        rerank(args)
    else:
        retrieve(args)


if __name__ == "__main__":
    main()
