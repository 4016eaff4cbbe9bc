"""Train `bundled-full`, the cross-encoder that rescores, on the lists of `build_lists.py`.

    python scripts/train_full.py --minutes 66
    # Go on from there.
    python scripts/train_full.py --base src/secondpass/models/bundled-full --rate 0.6

Query and passage are one sequence of all-MiniLM-L6-v2, whose lower layers stay as they are. The
loss asks which passage of a list is right, and which tokens answer; of a topic's list, it asks
how `bundled` ranks it. Writes a folder of transformers every ten minutes, which
`secondpass export` reads; the recipe and its figures are in docs/explanation/training-notes.md.
Nothing else should run beside it. `--base` takes such a folder or an exported model, whose int8
weights are read back.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from secondpass.train.export.restore import restore_weights
from secondpass.train.listwise.list_learner import BASE, Learner, Settings
from secondpass.train.listwise.lists import read_lists

ROOT = Path(__file__).resolve().parents[1]
REPORT_STEPS = 25
SAVE_SECONDS = 600
WEIGHTS = {
    "searches": 2.0,
    "wikipedia": 0.8,
    "squad": 0.6,
    "fm2_dev_test": 2.0,
    "scitldr": 1.5,
    "boolq_val_test": 0.7,
    "medquad": 0.7,
    "stackexchange_small": 0.6,
    "codenn_so": 0.3,
    "docs_mix": 0.5,
    "arxiv_title_abstract-topics": 1.5,
    "acl_title_abstract-topics": 1.5,
    "medquad-topics": 1.5,
}
"""How often a list of a source is seen in an epoch; 1 for the others."""
LONG = ("scitldr", "pubmedqa_labeled", "acl_title_abstract")
"""Sources of abstracts, which are read further than others."""


def train(lists: Path, base: str, out: Path, minutes: float, rate: float) -> None:
    """Train for so many minutes; the rates, times `rate`, fall linearly to 0 at their end."""
    found, passages = read_lists(lists)
    settings = Settings(weights=WEIGHTS, long=LONG)
    learner = Learner(passages, settings, base)
    learner.model.train()
    groups = learner.parameter_groups()
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
    trained = [parameter for group in groups for parameter in group["params"]]
    source, began, saved = learner.lists_forever(found), time.monotonic(), 0.0
    rates = [rate * group["lr"] for group in groups]
    recent: list[list[float]] = []
    steps = 0
    while (elapsed := time.monotonic() - began) < minutes * 60:
        share = elapsed / (minutes * 60)
        for group, highest in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = highest * min(1.0, share / settings.warm_up) * (1 - share)
        losses = learner.losses([next(source) for _ in range(settings.lists)])
        optimizer.zero_grad()
        learner.total(losses).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        steps += 1
        recent.append([float(torch.as_tensor(value).detach()) for value in losses])
        if steps % REPORT_STEPS == 0:
            alone, mixed, answers, first = np.mean(recent, axis=0)
            recent.clear()
            print(
                f"{elapsed:.0f} s, {steps * settings.lists * settings.passages:,} pairs: loss"
                f" {alone:.3f}, with cosine {mixed:.3f}, answers {answers:.3f}; right passage"
                f" first {first:.3f}",
                flush=True,
            )
        if elapsed - saved > SAVE_SECONDS:
            saved = elapsed
            learner.save(out)
    learner.save(out)
    print(f"written to {out}")


def restore(exported: Path, out: Path) -> None:
    """Write a folder of transformers with the weights of an exported model.

    What training leaves as it is comes from the first base, without the error of int8.
    """
    learner = Learner([], Settings())
    still = {
        name for name, weight in learner.model.named_parameters() if not weight.requires_grad
    }
    restored = restore_weights(exported)
    state = learner.model.state_dict()
    changed = {n: torch.from_numpy(w) for n, w in restored.items() if n not in still}
    learner.model.load_state_dict(state | changed)
    learner.save(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--lists", type=Path, default=ROOT / "runs" / "lists", help="of build_lists.py")
    add("--out", type=Path, default=ROOT / "runs" / "full")
    add("--minutes", type=float, default=66)
    add("--base", default=BASE, help="a folder to go on from")
    add("--rate", type=float, default=1.0, help="times the learning rates of a first training")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = parsed.base
        if (Path(base) / "model.onnx").is_file():
            restore(Path(base), Path(temporary))
            base = temporary
        train(parsed.lists, base, parsed.out, parsed.minutes, parsed.rate)


if __name__ == "__main__":
    main()
