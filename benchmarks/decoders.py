"""Decoders: what reading the prompt once for all candidates saves, in time and memory.

    python benchmarks/decoders.py --layers 6 --width 512

Makes a decoder of the shape of Qwen3 with random weights in a temporary folder, and reads one
query's candidates with it in three ways, each in a process of its own, in turn:

- plain: as model cards do, whole prompts padded on the left to the longest, in batches of
  `--batch`, with the logits of all positions and the whole vocabulary;
- last: the same, with the logits of the last position only (`logits_to_keep`);
- secondpass: `AnswerModel`, which reads what is in front of the documents once, batches by
  tokens, and computes two logits.

Candidates have `--tokens` tokens on average, from a third to five thirds of it. Times are
medians of the rounds, processor time too, because other load does not lengthen it; memory is
the peak of the process less what it took once the model had run one token. The largest
difference of a logit between plain and secondpass is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from speed.machine import processor
from speed.memory import forget_peak, peak_megabytes

VOCABULARY = 151_936
ANSWERS = [9693, 2152]
WAYS = ("plain", "last", "secondpass")
Ids = list[int]


def make_model(folder: Path, *, layers: int, width: int) -> int:
    """Write a decoder with random weights; return its number of parameters."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models

    # A folder has one; the prompts here are token ids.
    Tokenizer(models.BPE({"<unk>": 0}, [], unk_token="<unk>")).save(
        str(folder / "tokenizer.json")
    )
    heads = max(1, width // 64)
    config = transformers.Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        head_dim=64,
        tie_word_embeddings=True,
    )
    torch.manual_seed(13)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def make_prompts(arguments: argparse.Namespace) -> tuple[Ids, list[Ids]]:
    """Return the tokens in front of the documents, and each document with what follows it."""
    generator = np.random.default_rng(13)

    def ids(count: int) -> Ids:
        return [int(i) for i in generator.integers(1000, 100_000, count)]

    prefix, suffix = ids(arguments.prefix), ids(arguments.suffix)
    low, high = arguments.tokens // 3, arguments.tokens * 5 // 3
    lengths = generator.integers(low, high + 1, arguments.candidates)
    return prefix, [[*ids(int(n)), *suffix] for n in lengths]


def plain(model: Any, batch: int, *, last: bool) -> Callable[[Ids, Sequence[Ids]], np.ndarray]:
    """Return a function from prompts to logits, as the model cards write it."""
    import torch

    def run(prefix: Ids, sequences: Sequence[Ids]) -> np.ndarray:
        rows = [[*prefix, *ids] for ids in sequences]
        found = []
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            length = max(map(len, part))
            ids = torch.tensor([[0] * (length - len(row)) + row for row in part])
            mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in part])
            with torch.inference_mode():
                kept = {"logits_to_keep": 1} if last else {}
                logits = model(input_ids=ids, attention_mask=mask, **kept).logits
                found.append(logits[:, -1, ANSWERS].numpy())
        return np.concatenate(found)

    return run


def worker(way: str, folder: Path, arguments: argparse.Namespace, pipe: Any) -> None:
    """Read the candidates once for each message; send time, processor time and logits."""
    import torch

    from secondpass.inference.model_folder import open_folder
    from secondpass.inference.runtimes.generative import AnswerModel
    from secondpass.inference.runtimes.pretrained import load_pretrained

    torch.set_num_threads(arguments.threads)
    opened = open_folder(folder)
    prefix, sequences = make_prompts(arguments)
    run: Callable[[Ids, Sequence[Ids]], np.ndarray]
    if way == "secondpass":
        model = AnswerModel(opened, ANSWERS)

        def run(before: Ids, after: Sequence[Ids]) -> np.ndarray:
            return model.logits(before, after, longest=arguments.prefix + 4096)
    else:
        loaded = load_pretrained(opened, "AutoModelForCausalLM")
        run = plain(loaded, arguments.batch, last=way == "last")
    run(prefix[:1], [sequences[0][:1]])
    # Weights are mapped, and counted once they are read: the first run reads them all.
    forget_peak()
    before = peak_megabytes()
    while pipe.recv():
        began, spent = time.perf_counter(), time.process_time()
        logits = run(prefix, sequences)
        took = time.perf_counter() - began, time.process_time() - spent
        pipe.send((*took, peak_megabytes() - before, logits))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=150, help="of a document, on average")
    parser.add_argument("--prefix", type=int, default=90, help="tokens before the documents")
    parser.add_argument("--suffix", type=int, default=15, help="tokens behind them")
    parser.add_argument("--batch", type=int, default=16, help="rows of a plain batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters = make_model(folder, layers=arguments.layers, width=arguments.width)
        print(
            f"{processor()}; {parameters / 1e6:.0f} M parameters, {arguments.threads} threads"
        )
        pipes, processes = {}, []
        for way in arguments.ways:
            pipes[way], end = context.Pipe()
            process = context.Process(target=worker, args=(way, folder, arguments, end))
            process.start()
            end.close()
            processes.append(process)
        found: dict[str, list[Any]] = {way: [] for way in pipes}
        for number in range(arguments.rounds):
            for way, pipe in pipes.items():
                pipe.send(True)
                found[way].append(pipe.recv())
            shown = ", ".join(f"{way} {of[-1][0]:.1f} s" for way, of in found.items())
            print(f"round {number + 1}: {shown}; load {os.getloadavg()[0]:.1f}", flush=True)
        for pipe in pipes.values():
            pipe.send(False)
        for process in processes:
            process.join()
    print("| way | seconds | processor seconds | ratio to the first | MB more than at rest |")
    print("|---|---|---|---|---|")
    first = found[arguments.ways[0]]
    for way, of in found.items():
        wall, spent = (statistics.median(each[i] for each in of) for i in (0, 1))
        ratio = statistics.median(a[1] / b[1] for a, b in zip(first, of, strict=True))
        print(f"| {way} | {wall:.2f} | {spent:.2f} | {ratio:.2f} | {of[-1][2]:.0f} |")
    if {"plain", "secondpass"} <= found.keys():
        difference = np.abs(found["plain"][0][3] - found["secondpass"][0][3]).max()
        print(f"largest difference of a logit: {difference:.1e}")


if __name__ == "__main__":
    main()
