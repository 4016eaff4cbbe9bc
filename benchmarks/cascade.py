"""Cascades: the share of candidates scored, and the change of nDCG@10, by target.

    python benchmarks/cascade.py                                    # bundled-tiny, bundled
    python benchmarks/cascade.py --full FOLDER --queries 40 --collections scifact squad-dev

Each collection's margin is fitted on the lists of the others, so that it is measured on other
questions and texts. Fitting uses no judgments. Candidates and scores are those of
`benchmarks/quality.py`, from .cache/quality as far as they are cached.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from beir import load
from harness.embedder_key import embedder_key
from harness.evaluator import RankingEvaluator
from harness.model_change import Change, mean_change, top_10_overlap
from harness.pair_scores import PairScoreCache, PairScorer
from harness.suite import SUITE, collection_settings
from quality import CACHE, load_candidates

from secondpass import Embedder, InputError, Reranker
from secondpass.composition import CHEAP
from secondpass.models import bundled_path
from secondpass.rerank.policies.cascade import Margin, bundled_margin, fit_margin, survivors

PROMISES: Sequence[Mapping[str, float]] = (
    {"confidence": 0.95},
    *({"lost": share} for share in (0.02, 0.05, 0.1, 0.2, 0.3)),
)


@dataclass(frozen=True)
class Lists:
    """A collection's candidates with the scores of both models, by question."""

    name: str
    evaluator: RankingEvaluator
    ids: Mapping[str, list[str]]
    cheap: Mapping[str, list[float]]
    full: Mapping[str, list[float]]

    def change(self, margin: Margin) -> tuple[Change, float]:
        """Return the change by the cascade, and the share of candidates that it scores."""
        all_scored, cascaded, scored = {}, {}, 0
        for query, ids in self.ids.items():
            full, kept_candidates = self.full[query], survivors(self.cheap[query], margin)
            scored += len(kept_candidates)
            all_scored[query] = _ranked(ids, full, range(len(ids)))
            cascaded[query] = _ranked(ids, full, kept_candidates)
        change = Change(
            self.name,
            self.evaluator.ndcg(all_scored),
            self.evaluator.ndcg(cascaded),
            top_10_overlap(all_scored, cascaded),
        )
        return change, scored / sum(map(len, self.ids.values()))


def _ranked(
    ids: Sequence[str], scores: Sequence[float], kept_candidates: Sequence[int]
) -> list[str]:
    return [ids[i] for i in sorted(kept_candidates, key=lambda i: (-scores[i], i))]


def load_lists(
    name: str, queries: int | None, depth: int, embedder: Embedder, models: Sequence[PairScorer]
) -> Lists:
    """Return a collection's candidates and scores, from the cache as far as it has them."""
    settings = collection_settings(name)
    collection = load(name, queries, settings.candidates_file, settings.qrels)
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, CACHE / "embedders.json")
    candidates = load_candidates(collection, settings, embedder, key, depth=depth)
    ids = {query: [e.id for e in stages["hybrid"]] for query, stages in candidates.items()}
    scores = [model.score(collection, ids) for model in models]
    cheap, full = ({q: [s[q][i] for i in ids[q]] for q in ids} for s in scores)
    return Lists(
        name, RankingEvaluator(collection.qrels, relevant=settings.relevant), ids, cheap, full
    )


def fit(lists: Sequence[Lists], max_questions: int, promise: Mapping[str, float]) -> Margin:
    """Fit on the first `max_questions` of each collection, so that all count alike."""
    both = [
        (item.cheap[q], item.full[q]) for item in lists for q in [*item.ids][:max_questions]
    ]
    cheap, full = zip(*both, strict=True)
    return fit_margin(cheap, full, **promise)


def describe(promise: Mapping[str, float]) -> str:
    """Describe a promise in words."""
    if "confidence" in promise:
        return f"all of the top 10 in {promise['confidence']:.0%} of the lists"
    return f"of the top 10 at most {promise['lost']:.0%} lost"


def table_row(name: str, lists: Sequence[Lists], margins: Sequence[Margin]) -> str:
    """Return a table row: the share scored and the changes, by collection."""
    measured = [item.change(margin) for item, margin in zip(lists, margins, strict=True)]
    changes = [change for change, _ in measured]
    scored = float(np.mean([share for _, share in measured]))
    mean, error = mean_change(changes)
    cells = [name, f"{scored:.0%}", *(f"{c.mean:+.4f}" for c in changes)]
    return f"| {' | '.join(cells)} | {mean:+.4f} ± {error:.4f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cheap", default=CHEAP)
    parser.add_argument("--full", default="bundled")
    parser.add_argument("--collections", nargs="+", default=list(SUITE), metavar="NAME")
    parser.add_argument("--queries", type=int, help="only the first N questions of each")
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--fit", type=int, default=40, help="questions to fit on, of each")
    arguments = parser.parse_args()
    if len(arguments.collections) < 2:
        parser.error("--collections: a margin is fitted on other collections, so name two")
    cache = PairScoreCache(CACHE / "scores.sqlite")
    models = [
        PairScorer(name, cache, states=CACHE) for name in (arguments.cheap, arguments.full)
    ]
    embedder = Embedder()
    lists = [
        load_lists(name, arguments.queries, arguments.candidates, embedder, models)
        for name in arguments.collections
    ]
    cache.close()
    print(f"| promise | scored | {' | '.join(arguments.collections)} | mean |")
    print("|---|---|" + "---|" * (len(lists) + 1))
    for promise in PROMISES:
        try:
            margins = [
                fit([other for other in lists if other is not item], arguments.fit, promise)
                for item in lists
            ]
        except InputError as error:
            print(f"| {describe(promise)} | {error} |")
            continue
        print(table_row(describe(promise), lists, margins))
    with contextlib.suppress(InputError):
        known = bundled_margin(Reranker(arguments.cheap), Reranker(arguments.full))
        print(table_row("the margin of the package", lists, [known] * len(lists)))


if __name__ == "__main__":
    main()
