"""Whether light fine-tuning makes the embedder better where it was not trained.

    make quality ARGS=--no-rerank         # once: finds the candidates
    python benchmarks/embedder_tuning.py runs/mined --minutes 8

The embedder's last two layers are trained (the states below them are computed once) to put a
query's passage before a hard negative of its own and before those of the other queries in the
batch. Judged by the cosine alone, on the candidates of `ablations.py`: as it is, tuned, and
half-way between the two.
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
from ablations import BASE, QUESTIONS, Trial, trial
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

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """Return embeddings [texts, HIDDEN] of unit length for padded states."""
        mask = (1 - there)[:, None, None, :] * torch.finfo(torch.float32).min
        for layer in self.layers:
            found = layer(states, attention_mask=mask)
            states = found[0] if isinstance(found, tuple) else found
        sums = (states * there.unsqueeze(-1)).sum(1)
        return functional.normalize(sums / there.sum(1, keepdim=True), dim=1)

    def embed(self, texts: EncoderStates, chosen: Sequence[int]) -> Tensor:
        """Return the embeddings of some texts, [texts, HIDDEN]."""
        codes, scales = texts.take(chosen)
        lengths = texts.lengths[list(chosen)]
        states = np.zeros((len(chosen), int(lengths.max()), HIDDEN), np.float32)
        there = np.arange(states.shape[1]) < lengths[:, None]
        states[there] = codes[:, :HIDDEN] * scales[:, None]
        return self(torch.from_numpy(states), torch.from_numpy(there.astype(np.float32)))


def tune(
    top: Top,
    queries: EncoderStates,
    passages: EncoderStates,
    groups: Sequence[Any],
    options: Any,
) -> int:
    """Train for the given minutes and return the number of steps."""
    draw = random.Random(0)
    optimiser = torch.optim.AdamW(top.parameters(), lr=options.learning_rate)
    started, seconds, steps = time.monotonic(), options.minutes * 60, 0
    usable = [i for i, group in enumerate(groups) if group.negatives]
    top.train()
    with progress_bar("tune", int(seconds)) as done:
        told = 0
        while (passed := time.monotonic() - started) < seconds:
            done(int(passed) - told)
            told = int(passed)
            for one in optimiser.param_groups:
                share = passed / seconds
                one["lr"] = options.learning_rate * min(share / 0.1, (1 - share) / 0.9)
            batch = draw.sample(usable, options.batch)
            right = [draw.choice(groups[i].positives) for i in batch]
            wrong = [draw.choice(groups[i].negatives) for i in batch]
            asked = top.embed(queries, batch)
            found = top.embed(passages, right + wrong)
            target = torch.arange(len(batch))
            loss = functional.cross_entropy(SHARPNESS * asked @ found.T, target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(top.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            steps += 1
    return steps


def judged(top: Top, one: Trial, queries: EncoderStates, passages: EncoderStates) -> float:
    """Return the mean nDCG@10 of the cosine on a collection's candidates."""
    top.eval()

    def embedded(texts: EncoderStates) -> Tensor:
        order = np.argsort(texts.lengths, kind="stable").tolist()
        into = torch.zeros(len(order), HIDDEN)
        with torch.no_grad():
            for at in range(0, len(order), AT_ONCE):
                some = order[at : at + AT_ONCE]
                into[some] = top.embed(texts, some)
        return into

    asked, found = embedded(queries), embedded(passages)
    scores = [
        (found[[place for place, *_ in candidates]] @ asked[query]).numpy()
        for query, candidates in enumerate(one.candidates)
    ]
    return one.judged(scores)[0]


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
    trials = {name: trial(name) for name in QUESTIONS}
    read = {n: (states(t.texts.queries), states(t.texts.passages)) for n, t in trials.items()}
    top = Top(locate_source(BASE))
    before = {name: value.clone() for name, value in top.state_dict().items()}
    passages, queries = states(examples.passages), states([g.query for g in examples.groups])
    steps = tune(top, queries, passages, examples.groups, options)
    after = {name: value.clone() for name, value in top.state_dict().items()}
    table: dict[str, dict[str, float]] = {}
    for title, kept in (("as it is", 1.0), ("half-way", 0.5), ("tuned", 0.0)):
        mixed = {n: kept * before[n] + (1 - kept) * after[n] for n in after}
        top.load_state_dict(mixed)
        table[title] = {n: round(judged(top, trials[n], *read[n]), 4) for n in trials}
        print(title, table[title], flush=True)
    print(f"{steps} steps of {options.batch} queries")
    if options.json is not None:
        options.json.write_text(json.dumps(table | {"steps": steps}, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
