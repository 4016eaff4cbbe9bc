"""Runtimes: time, scores and the cost of new lengths of one graph in each of them.

    python benchmarks/runtimes.py FP32_FOLDER INT8_FOLDER --threads 1

Each folder holds a cross-encoder, whose graph runs in ONNX Runtime, in secondpass's own machine
code where that is compiled and the graph fits, and in OpenVINO where that is installed. All
engines run batches of one exact length in turn, so that other load slows all alike: read the
ratios. Batches of ever new lengths, as in a search, come in between. Then pairs of
`secondpass.models` are scored one by one, to compare the scores of the engines, and of ONNX
Runtime with its basic optimizations only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from secondpass.inference.model_folder import open_folder
from secondpass.inference.runtimes import ENGINES, load_runtime
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
from secondpass.inference.types import Runtime

PAIRS = Path(__file__).resolve().parent.parent / "src/secondpass/models/calibration/pairs.jsonl"
NAMES = {"native": "own machine code", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def runtimes(path: Path, threads: int) -> Iterator[tuple[str, Runtime]]:
    """Yield every engine that runs the model here, ONNX Runtime first."""
    folder = open_folder(path)
    for engine in sorted(ENGINES, key=lambda name: name != "onnxruntime"):
        if engine == "openvino" and find_spec("openvino") is None:
            continue
        runtime = load_runtime(folder, threads=threads, engine=engine)
        # A graph that the native engine cannot run falls back to ONNX Runtime.
        if runtime.engine == engine:
            yield f"{path.name}, {NAMES[engine]}", runtime


def batch(runtime: Runtime, rows: int, tokens: int) -> dict[str, np.ndarray]:
    """Return random tokens, the same for the same shape."""
    ids = np.random.default_rng(tokens).integers(1000, 30000, (rows, tokens))
    arrays = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    return {name: array for name, array in arrays.items() if name in runtime.inputs}


def measure(runtime: Runtime, feeds: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    runtime.run(feeds)
    return time.perf_counter() - started


def scores(runtime: Runtime, pairs: list[Encoding]) -> np.ndarray:
    """Return the first logit of each pair, scored alone."""
    logits = []
    for pair in pairs:
        arrays = {
            "input_ids": pair.ids,
            "attention_mask": pair.attention_mask,
            "token_type_ids": pair.type_ids,
        }
        feeds = {n: np.array([v], dtype=np.int64) for n, v in arrays.items()}
        logits.append(
            runtime.run({n: a for n, a in feeds.items() if n in runtime.inputs})[0, 0]
        )
    return np.array(logits)


class Basic(OnnxRuntime):
    """ONNX Runtime with its basic optimizations, which fuse little."""

    def __init__(self, file: Path, threads: int) -> None:
        super().__init__(file, threads=threads)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._session = ort.InferenceSession(str(file), options)


def differences(path: Path, threads: int, count: int) -> None:
    """Print how far the logits of one model are from those in ONNX Runtime."""
    folder = open_folder(path)
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    lines = PAIRS.read_text(encoding="utf-8").splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    pairs = [tokenizer.encode(row["query"], row["text"]) for row in rows]
    (_, plain), *others = runtimes(path, threads)
    reference = scores(plain, pairs)
    assert folder.onnx is not None
    basic = (f"{path.name}, ONNX Runtime, basic optimizations", Basic(folder.onnx, threads))
    for name, runtime in [*others, basic]:
        error = np.abs(scores(runtime, pairs) - reference)
        print(f"| {name} | {len(pairs)} | {error.mean():.3f} | {error.max():.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=152)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=60)
    arguments = parser.parse_args()
    opened = dict(
        pair for path in arguments.folders for pair in runtimes(path, arguments.threads)
    )
    same: dict[str, list[float]] = {name: [] for name in opened}
    mixed: dict[str, list[float]] = {name: [] for name in opened}
    for number in range(arguments.rounds + 1):
        for name, runtime in opened.items():
            same[name].append(
                measure(runtime, batch(runtime, arguments.rows, arguments.tokens))
            )
            # As many tokens as before on average, at a new length.
            tokens = arguments.tokens + (number - arguments.rounds // 2) * 3
            mixed[name].append(measure(runtime, batch(runtime, arguments.rows, tokens)))
    first = next(iter(opened))
    print("| graph and engine | ms a row | speed ratio | new lengths, ms a row | alone |")
    print("|---|---|---|---|---|")
    for name, runtime in opened.items():
        feeds = batch(runtime, arguments.rows, arguments.tokens)
        alone = [runtime.run({n: a[i : i + 1] for n, a in feeds.items()}) for i in range(3)]
        batch_difference = float(np.abs(np.concatenate(alone) - runtime.run(feeds)[:3]).max())
        median, new = (statistics.median(t[name][1:]) for t in (same, mixed))
        ratio = statistics.median(same[first][1:]) / median
        cells = [f"{1e3 * median / arguments.rows:.1f}", f"{ratio:.2f}"]
        cells += [f"{1e3 * new / arguments.rows:.1f}", f"{batch_difference:.1e}"]
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    print("| graph and engine | pairs | logits from ONNX Runtime's, mean | largest |")
    print("|---|---|---|---|")
    for path in arguments.folders:
        differences(path, arguments.threads, arguments.pairs)


if __name__ == "__main__":
    main()
