"""Fine-tuning of the embedder: what a light one does on other collections.

    make quality ARGS=--no-rerank         # once: caches the candidates
    python benchmarks/embedder_tuning.py runs/mined --minutes 8

The embedder's last two layers are trained (the states below them are computed once) to rank a
query's passage above a hard negative and above those of the other queries in the batch.
Evaluated by the cosine alone, on the candidates of `ablations.py`: unchanged, tuned, and the
mean of both.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablations import BASE, QUESTIONS, RankingTrial, load_trial
from harness.progress import progress_bar
from torch import Tensor
from torch.nn import functional

from secondpass.inference.model_folder import open_folder
from secondpass.inference.token_encoder import open_encoder
from secondpass.models import bundled_path
from secondpass.train.data.files import read_examples
from secondpass.train.export.source import locate_source
from secondpass.train.export.trace import load_model
from secondpass.train.precomputed.states import EncoderStates, encode_states

LAYERS, HIDDEN = 2, 384
SHARPNESS = 20.0
AT_ONCE = 64


class Top(torch.nn.Module):
    """The embedder's last layers, over states that were computed below them."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self.layers = load_model(base, "embedder").encoder.layer[-LAYERS:]

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings [texts, HIDDEN] of unit length for padded states."""
        bias = (1 - mask)[:, None, None, :] * torch.finfo(torch.float32).min
        for layer in self.layers:
            output = layer(states, attention_mask=bias)
            states = output[0] if isinstance(output, tuple) else output
        sums = (states * mask.unsqueeze(-1)).sum(1)
        return functional.normalize(sums / mask.sum(1, keepdim=True), dim=1)

    def embed(self, texts: EncoderStates, indices: Sequence[int]) -> Tensor:
        """Return the embeddings of some texts, [texts, HIDDEN]."""
        codes, scales = texts.take(indices)
        lengths = texts.lengths[list(indices)]
        states = np.zeros((len(indices), int(lengths.max()), HIDDEN), np.float32)
        mask = np.arange(states.shape[1]) < lengths[:, None]
        states[mask] = codes[:, :HIDDEN] * scales[:, None]
        return self(torch.from_numpy(states), torch.from_numpy(mask.astype(np.float32)))


def tune(
    top: Top,
    queries: EncoderStates,
    passages: EncoderStates,
    groups: Sequence[Any],
    options: Any,
) -> int:
    """Train for the given minutes and return the number of steps."""
    rng = random.Random(0)
    optimizer = torch.optim.AdamW(top.parameters(), lr=options.learning_rate)
    started, seconds, steps = time.monotonic(), options.minutes * 60, 0
    usable = [i for i, group in enumerate(groups) if group.negatives]
    top.train()
    with progress_bar("tune", int(seconds)) as done:
        reported = 0
        while (passed := time.monotonic() - started) < seconds:
            done(int(passed) - reported)
            reported = int(passed)
            for group in optimizer.param_groups:
                share = passed / seconds
                group["lr"] = options.learning_rate * min(share / 0.1, (1 - share) / 0.9)
            batch = rng.sample(usable, options.batch)
            positives = [rng.choice(groups[i].positives) for i in batch]
            negatives = [rng.choice(groups[i].negatives) for i in batch]
            query_vectors = top.embed(queries, batch)
            passage_vectors = top.embed(passages, positives + negatives)
            target = torch.arange(len(batch))
            loss = functional.cross_entropy(
                SHARPNESS * query_vectors @ passage_vectors.T, target
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(top.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            steps += 1
    return steps


def evaluate(
    top: Top, trial: RankingTrial, queries: EncoderStates, passages: EncoderStates
) -> float:
    """Return the mean nDCG@10 of the cosine on a collection's candidates."""
    top.eval()

    def embed_all(texts: EncoderStates) -> Tensor:
        order = np.argsort(texts.lengths, kind="stable").tolist()
        embeddings = torch.zeros(len(order), HIDDEN)
        with torch.no_grad():
            for start in range(0, len(order), AT_ONCE):
                batch = order[start : start + AT_ONCE]
                embeddings[batch] = top.embed(texts, batch)
        return embeddings

    query_vectors, passage_vectors = embed_all(queries), embed_all(passages)
    scores = [
        (passage_vectors[[index for index, *_ in candidates]] @ query_vectors[query]).numpy()
        for query, candidates in enumerate(trial.candidates)
    ]
    return trial.ndcg(scores)[0]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("examples", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--cache", type=Path, default=Path("runs/states"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    encoder = open_encoder(open_folder(bundled_path("bundled-embedder")))

    def states(texts: Sequence[str]) -> EncoderStates:
        return encode_states(encoder, texts, tokens=options.tokens, cache=options.cache)

    examples = read_examples(options.examples)
    trials = {name: load_trial(name) for name in QUESTIONS}
    read = {n: (states(t.texts.queries), states(t.texts.passages)) for n, t in trials.items()}
    top = Top(locate_source(BASE))
    before = {name: value.clone() for name, value in top.state_dict().items()}
    passages, queries = states(examples.passages), states([g.query for g in examples.groups])
    steps = tune(top, queries, passages, examples.groups, options)
    after = {name: value.clone() for name, value in top.state_dict().items()}
    table: dict[str, dict[str, float]] = {}
    for title, original_share in (("as it is", 1.0), ("half-way", 0.5), ("tuned", 0.0)):
        mixed = {n: original_share * before[n] + (1 - original_share) * after[n] for n in after}
        top.load_state_dict(mixed)
        table[title] = {n: round(evaluate(top, trials[n], *read[n]), 4) for n in trials}
        print(title, table[title], flush=True)
    print(f"{steps} steps of {options.batch} queries")
    if options.json is not None:
        options.json.write_text(json.dumps(table | {"steps": steps}, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
