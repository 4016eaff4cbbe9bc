"""Encoder shapes: the time of untrained int8 cross-encoders in each engine.

    python benchmarks/encoder_shapes.py --shapes minilm-l6 bge-base modernbert-base

Makes a cross-encoder with random weights of each shape in a temporary folder, exports it to
int8, and runs batches of pairs of exactly `--tokens` tokens in the native engine, in ONNX
Runtime and, if it is installed, in OpenVINO (the same int8 graph), and in PyTorch in full
precision (transformers' own attention), all with the same number of threads, in turn, so that
other load slows all alike: read the ratios, which are taken within each round. Beside the time
is the processor time, which other load does not lengthen; of engines whose threads spin while
they wait it is too much. The load of the machine is printed beside each round. Scores of random
weights mean nothing; how far those of the native engine are from ONNX Runtime's is printed. The
larger shapes take minutes to export and several gigabytes: `--models` keeps them for next time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from int8_at_load import cut_pairs
from speed.machine import kernels, processor

SHAPES: dict[str, dict[str, Any]] = {
    "minilm-l6": {"type": "bert", "layers": 6, "width": 384, "vocabulary": 30_522},
    "minilm-l12": {"type": "bert", "layers": 12, "width": 384, "vocabulary": 30_522},
    "roberta-base": {"type": "roberta", "layers": 12, "width": 768, "vocabulary": 50_265},
    "bge-base": {"type": "xlm-roberta", "layers": 12, "width": 768, "vocabulary": 250_002},
    "bge-large": {"type": "xlm-roberta", "layers": 24, "width": 1024, "vocabulary": 250_002},
    "modernbert-base": {"type": "modernbert", "layers": 22, "width": 768, "vocabulary": 50_368},
}
"""Sizes of the encoders that rerankers are made of; heads have 64 numbers, MiniLM's 32."""


NATIVE, ONNX_RUNTIME = "native int8", "ONNX Runtime int8"


def make_random(folder: Path, shape: dict[str, Any]) -> int:
    """Write a cross-encoder with random weights; return its number of parameters."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    width, kind = shape["width"], shape["type"]
    common = {
        "vocab_size": shape["vocabulary"],
        "hidden_size": width,
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": width // (32 if width == 384 else 64),
        "intermediate_size": 4 * width if kind != "modernbert" else 3 * width // 2,
        "num_labels": 1,
    }
    first = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if kind == "modernbert":
        special = {**first, "cls_token_id": 0, "sep_token_id": 2}
        config = transformers.ModernBertConfig(**common, **special, reference_compile=False)
    elif kind == "bert":
        config = transformers.BertConfig(**common, pad_token_id=1)
    else:
        classes = {
            "roberta": transformers.RobertaConfig,
            "xlm-roberta": transformers.XLMRobertaConfig,
        }
        config = classes[kind](
            **common, **first, max_position_embeddings=514, type_vocab_size=1
        )
    torch.manual_seed(13)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    words |= {chr(code): code for code in range(33, 127)}
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return sum(parameter.numel() for parameter in model.parameters())


def export(source: Path, out: Path) -> None:
    """Export to int8, calibrated with few and short pairs, as nothing is ranked."""
    from secondpass.train.export.export import ExportSettings, export_model

    pairs = cut_pairs(source.parent / "pairs.jsonl", 16, 4)
    # Random weights order pairs at random, so no overlap is asked for.
    export_model(
        str(source), out, ExportSettings(calibrate=pairs, min_overlap=0.0, at_load=True)
    )


def engines(
    source: Path, out: Path, threads: int
) -> dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]]:
    """Return a function from a batch to its logits for each engine."""
    import torch
    import transformers

    from secondpass.inference.model_folder import open_folder
    from secondpass.inference.runtimes import load_runtime

    folder = open_folder(out)
    native = load_runtime(folder, threads=threads, engine="native")
    if native.engine != "native":
        raise SystemExit(f"{out.name}: the native engine does not run it here")
    torch.set_num_threads(threads)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        source, dtype=torch.float32
    ).eval()

    def run_torch(feeds: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return model(**{n: torch.from_numpy(a) for n, a in feeds.items()}).logits.numpy()

    def of(runtime: Any) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
        return lambda feeds: runtime.run({n: feeds[n] for n in runtime.inputs})

    runs = {NATIVE: of(native)}
    others = {ONNX_RUNTIME: "onnxruntime", "OpenVINO int8": "openvino"}
    for name, engine in others.items():
        if find_spec(engine) is not None:
            runs[name] = of(load_runtime(folder, threads=threads, engine=engine))
    return {**runs, "torch fp32": run_torch}


def measure(name: str, arguments: argparse.Namespace) -> None:
    shape = SHAPES[name]
    with contextlib.ExitStack() as stack:
        models = arguments.models
        if models is None:
            models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source, out = models / name / "fp32", models / name / "int8"
        if not out.exists():
            source.parent.mkdir(parents=True, exist_ok=True)
            parameters = make_random(source, shape)
            started = time.perf_counter()
            export(source, out)
            seconds = time.perf_counter() - started
            print(f"{name}: {parameters / 1e6:.0f} M parameters, exported in {seconds:.0f} s")
        runs = engines(source, out, arguments.threads)
        ids = np.random.default_rng(0).integers(
            40, shape["vocabulary"], (arguments.rows, arguments.tokens)
        )
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        if shape["type"] == "modernbert":
            del feeds["token_type_ids"]
        logits = {engine: run(feeds) for engine, run in runs.items()}
        times: dict[str, list[tuple[float, float]]] = {engine: [] for engine in runs}
        for number in range(arguments.rounds):
            for engine, run in runs.items():
                began, spent = time.perf_counter(), time.process_time()
                run(feeds)
                took = time.perf_counter() - began, time.process_time() - spent
                times[engine].append(took)
            load = os.getloadavg()[0]
            shown = ", ".join(f"{engine} {t[-1][0]:.2f} s" for engine, t in times.items())
            print(f"  round {number + 1}: {shown}; load {load:.1f}", flush=True)
    for engine, of in times.items():
        pairs = arguments.rows / statistics.median(wall for wall, _ in of)
        ratios = [
            statistics.median(
                other[i] / own[i] for own, other in zip(times[NATIVE], of, strict=True)
            )
            for i in (0, 1)
        ]
        print(
            f"  {engine}: {pairs:.1f} pairs per second; time of the native engine's "
            f"{ratios[0]:.2f}, processor time {ratios[1]:.2f}"
        )
    difference = np.abs(logits[NATIVE] - logits[ONNX_RUNTIME]).mean()
    spread = logits[ONNX_RUNTIME].std()
    print(
        f"  logits differ by {difference:.4f} from ONNX Runtime's on average (their standard "
        f"deviation: {spread:.4f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rows", type=int, default=16, help="pairs of a batch")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="where models are kept")
    arguments = parser.parse_args()
    print(f"{processor()}; kernels of the native engine: {kernels()}")
    for name in arguments.shapes:
        measure(name, arguments)


if __name__ == "__main__":
    main()
