"""One graph in each runtime: time, scores, and whether lengths cost anything.

    python benchmarks/runtimes.py FP32_FOLDER INT8_FOLDER --threads 1

Each folder holds a cross-encoder, whose graph runs in ONNX Runtime, in our own machine code
where that is compiled and the graph fits, and in OpenVINO where that is installed. Batches of
one exact length are run in turn by every engine, so that a busy machine slows all alike: read
the ratios. Batches of ever new lengths, as a search has them, come in between. Then pairs of
`examples/calibration` are scored one by one, to tell how far engines are from each other, and
ONNX Runtime from itself with its basic optimisations only.
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

PAIRS = Path(__file__).resolve().parent.parent / "examples/calibration/pairs.jsonl"
NAMES = {"native": "our machine code", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def runtimes(path: Path, threads: int) -> Iterator[tuple[str, Runtime]]:
    """Yield every engine that runs the model here, ONNX Runtime first."""
    folder = open_folder(path)
    for engine in sorted(ENGINES, key=lambda name: name != "onnxruntime"):
        if engine == "openvino" and find_spec("openvino") is None:
            continue
        runtime = load_runtime(folder, threads=threads, engine=engine)
        # What our own cannot run, ONNX Runtime would run once more.
        if runtime.engine == engine:
            yield f"{path.name}, {NAMES[engine]}", runtime


def batch(runtime: Runtime, rows: int, tokens: int) -> dict[str, np.ndarray]:
    """Return random tokens, the same for the same shape."""
    ids = np.random.default_rng(tokens).integers(1000, 30000, (rows, tokens))
    every = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    return {name: array for name, array in every.items() if name in runtime.inputs}


def timed(runtime: Runtime, feeds: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    runtime.run(feeds)
    return time.perf_counter() - started


def scores(runtime: Runtime, pairs: list[Encoding]) -> np.ndarray:
    """Return the first logit of each pair, scored alone."""
    found = []
    for pair in pairs:
        every = {
            "input_ids": pair.ids,
            "attention_mask": pair.attention_mask,
            "token_type_ids": pair.type_ids,
        }
        feeds = {n: np.array([v], dtype=np.int64) for n, v in every.items()}
        found.append(runtime.run({n: a for n, a in feeds.items() if n in runtime.inputs})[0, 0])
    return np.array(found)


class Basic(OnnxRuntime):
    """ONNX Runtime with its basic optimisations, which fuse little."""

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
    read = [json.loads(line) for line in lines]
    pairs = [tokenizer.encode(one["query"], one["text"]) for one in read]
    (_, plain), *others = runtimes(path, threads)
    wanted = scores(plain, pairs)
    assert folder.onnx is not None
    basic = (f"{path.name}, ONNX Runtime, basic optimisations", Basic(folder.onnx, threads))
    for name, one in [*others, basic]:
        found = np.abs(scores(one, pairs) - wanted)
        print(f"| {name} | {len(pairs)} | {found.mean():.3f} | {found.max():.3f} |")


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
    for turn in range(arguments.rounds + 1):
        for name, one in opened.items():
            same[name].append(timed(one, batch(one, arguments.rows, arguments.tokens)))
            # As many tokens as before on average, at a length that was not there yet.
            tokens = arguments.tokens + (turn - arguments.rounds // 2) * 3
            mixed[name].append(timed(one, batch(one, arguments.rows, tokens)))
    first = next(iter(opened))
    print("| graph and engine | ms a row | times as fast | new lengths, ms a row | alone |")
    print("|---|---|---|---|---|")
    for name, one in opened.items():
        both = batch(one, arguments.rows, arguments.tokens)
        alone = [one.run({n: a[i : i + 1] for n, a in both.items()}) for i in range(3)]
        apart = float(np.abs(np.concatenate(alone) - one.run(both)[:3]).max())
        took, new = (statistics.median(t[name][1:]) for t in (same, mixed))
        ratio = statistics.median(same[first][1:]) / took
        cells = [f"{1e3 * took / arguments.rows:.1f}", f"{ratio:.2f}"]
        print(
            f"| {name} | {' | '.join(cells)} | {1e3 * new / arguments.rows:.1f} | {apart:.1e} |"
        )
    print()
    print("| graph and engine | pairs | logits from ONNX Runtime's, mean | largest |")
    print("|---|---|---|---|")
    for path in arguments.folders:
        differences(path, arguments.threads, arguments.pairs)


if __name__ == "__main__":
    main()
