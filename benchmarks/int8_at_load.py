"""Int8 made at load: time, peak memory, and what it saves.

    python benchmarks/int8_at_load.py --shape large --pairs 24 --words 10
    python benchmarks/int8_at_load.py --model FOLDER

The first makes a cross-encoder with random weights of a shape (XLM-RoBERTa large: 24 layers of
1024 dimensions, 250,002 tokens, 560 million parameters) in a temporary folder, and the int8
model of it in a cache beside it; both are deleted at the end. Random weights rank nothing, so
the check may refuse the result: what counts is that it is made, in which time and memory.
`--pairs` and `--words` make it cheaper: so many calibration pairs, cut to so many words. The
second does the same with a model of yours. Time is that of this machine and of what else runs
on it; peaks are of the process that loads and of the one that makes the model.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {
    "large": {"layers": 24, "width": 1024, "heads": 16, "vocabulary": 250_002},
    "base": {"layers": 12, "width": 768, "heads": 12, "vocabulary": 250_002},
    "small": {"layers": 6, "width": 384, "heads": 12, "vocabulary": 30_522},
}


def make_random(folder: Path, shape: dict[str, int]) -> int:
    """Write a cross-encoder with random weights; return its number of parameters."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    config = transformers.XLMRobertaConfig(
        vocab_size=shape["vocabulary"],
        hidden_size=shape["width"],
        intermediate_size=4 * shape["width"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        max_position_embeddings=514,
        type_vocab_size=1,
        num_labels=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    torch.manual_seed(13)
    model = transformers.XLMRobertaForSequenceClassification(config)
    model.save_pretrained(folder, max_shard_size="1GB")
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    words |= {f"▁{number}": number for number in range(4, 1000)}
    words |= {chr(code): 1000 + code for code in range(33, 127)}
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return sum(parameter.numel() for parameter in model.parameters())


def cut_pairs(file: Path, count: int | None, words: int | None) -> Path:
    """Write the bundled pairs, cut to so many pairs and words; return the file."""
    from secondpass.models import calibration_pairs

    rows = [json.loads(line) for line in calibration_pairs().read_text("utf-8").splitlines()]
    with file.open("w", encoding="utf-8") as stream:
        for row in rows[:count]:
            row["text"] = " ".join(row["text"].split()[:words])
            row["title"] = None
            stream.write(json.dumps(row) + "\n")
    return file


def peak(who: int) -> float:
    """Return the peak resident memory in GB, of this process or of its largest child."""
    size = resource.getrusage(who).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return size / 1e9 if sys.platform == "darwin" else size * 1024 / 1e9


def cpu(who: int) -> float:
    """Return the seconds of processor time so far; other work on the machine adds little."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def load(model: Path, precision: str | None, pairs: Path | None, *, rerank: bool) -> None:
    """Load a model, and time it on the pairs of one search where `rerank` is true."""
    from secondpass import Reranker, SecondpassError
    from secondpass.models import calibration_pairs

    started, children = time.perf_counter(), cpu(resource.RUSAGE_CHILDREN)
    try:
        reranker = Reranker(model, precision=precision, calibration_pairs=pairs, threads=1)
    except SecondpassError as error:
        print(f"precision {precision}: {error}")
        return
    finally:
        seconds = time.perf_counter() - started
        spent = cpu(resource.RUSAGE_CHILDREN) - children
        print(
            f"precision {precision}: {seconds:.1f} s, {spent:.1f} s of processor time in the "
            "process that makes it",
            flush=True,
        )
    print(f"    {reranker.precision}: {reranker.precision_reason}", flush=True)
    if not rerank:
        return
    rows = [json.loads(line) for line in calibration_pairs().read_text("utf-8").splitlines()]
    texts = [row["text"] for row in rows[:50]]
    for _ in range(2):
        started = cpu(resource.RUSAGE_SELF)
        reranker.rerank(rows[0]["query"], texts)
        seconds = cpu(resource.RUSAGE_SELF) - started
    print(f"    50 pairs, one thread: {seconds:.2f} s of processor time", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="large")
    parser.add_argument("--model", type=Path, help="a model folder in place of random weights")
    parser.add_argument("--pairs", type=int, help="calibration pairs; all if absent")
    parser.add_argument("--words", type=int, help="words of a passage; all if absent")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = temporary
        folder = args.model
        if folder is None:
            folder = Path(temporary) / "random"
            if (child := os.fork()) == 0:
                # In a process of its own, whose memory is not counted.
                print(f"{make_random(folder, SHAPES[args.shape]):,} parameters", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        made = peak(resource.RUSAGE_CHILDREN)
        pairs = None
        if args.pairs is not None or args.words is not None:
            pairs = cut_pairs(Path(temporary) / "pairs.jsonl", args.pairs, args.words)
        load(folder, "int8", pairs, rerank=args.model is not None)
        print(
            f"peak memory: {peak(resource.RUSAGE_SELF):.1f} GB here, "
            f"{peak(resource.RUSAGE_CHILDREN):.1f} GB in the process that makes it "
            f"({made:.1f} GB for the random weights)",
            flush=True,
        )
        load(folder, "int8", pairs, rerank=args.model is not None)
        if args.model is not None:
            load(folder, None, None, rerank=True)


if __name__ == "__main__":
    main()
