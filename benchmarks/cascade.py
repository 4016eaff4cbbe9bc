"""What a cascade leaves out and what that costs: candidates scored, and nDCG@10, by promise.

    python benchmarks/cascade.py                                    # bundled-tiny, bundled
    python benchmarks/cascade.py --full FOLDER --queries 40 --collections scifact squad-dev

Each collection's margin is fitted on the lists of the others, so that it is measured on
questions and texts unlike those it comes from. Fitting reads no judgement. Candidates and
scores are those of `benchmarks/quality.py`, from .cache/quality as far as they are there.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from beir import load
from measuring.changes import Change, overall, shared
from measuring.embedders import known_as
from measuring.judging import Judge
from measuring.pairs import PairScores, Scorer
from measuring.suite import SUITE, member
from quality import CACHE, gathered

from secondpass import Embedder, InputError, Reranker
from secondpass.index.composition import CHEAP
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
    judge: Judge
    ids: Mapping[str, list[str]]
    cheap: Mapping[str, list[float]]
    full: Mapping[str, list[float]]

    def change(self, margin: Margin) -> tuple[Change, float]:
        """Return what the cascade changes, and the share of candidates it scores."""
        every, left, scored = {}, {}, 0
        for query, ids in self.ids.items():
            full, kept = self.full[query], survivors(self.cheap[query], margin)
            scored += len(kept)
            every[query] = _ranked(ids, full, range(len(ids)))
            left[query] = _ranked(ids, full, kept)
        change = Change(
            self.name, self.judge.ndcg(every), self.judge.ndcg(left), shared(every, left)
        )
        return change, scored / sum(map(len, self.ids.values()))


def _ranked(ids: Sequence[str], scores: Sequence[float], kept: Sequence[int]) -> list[str]:
    return [ids[i] for i in sorted(kept, key=lambda i: (-scores[i], i))]


def read(
    name: str, queries: int | None, depth: int, embedder: Embedder, models: Sequence[Scorer]
) -> Lists:
    """Search a collection and score what is found, as far as the cache does not know it."""
    how = member(name)
    collection = load(name, queries, how.given, how.qrels)
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = known_as(embedder, tokenizer, CACHE / "embedders.json")
    found = gathered(collection, how, embedder, key, depth=depth)
    ids = {query: [e.id for e in stages["hybrid"]] for query, stages in found.items()}
    scores = [one.score(collection, ids) for one in models]
    one, other = ({q: [s[q][i] for i in ids[q]] for q in ids} for s in scores)
    return Lists(name, Judge(collection.qrels, relevant=how.relevant), ids, one, other)


def fitted(lists: Sequence[Lists], most: int, promise: Mapping[str, float]) -> Margin:
    """Fit on the first `most` questions of each collection, so that none outweighs others."""
    both = [(one.cheap[q], one.full[q]) for one in lists for q in [*one.ids][:most]]
    cheap, full = zip(*both, strict=True)
    return fit_margin(cheap, full, **promise)


def told(promise: Mapping[str, float]) -> str:
    """Return a promise in words."""
    if "confidence" in promise:
        return f"all of the top 10 in {promise['confidence']:.0%} of the lists"
    return f"of the top 10 at most {promise['lost']:.0%} lost"


def line(name: str, lists: Sequence[Lists], margins: Sequence[Margin]) -> str:
    """Return a row: what each collection's margin leaves and changes."""
    measured = [one.change(margin) for one, margin in zip(lists, margins, strict=True)]
    changes = [change for change, _ in measured]
    scored = float(np.mean([share for _, share in measured]))
    mean, error = overall(changes)
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
    cache = PairScores(CACHE / "scores.sqlite")
    models = [Scorer(one, cache, states=CACHE) for one in (arguments.cheap, arguments.full)]
    embedder = Embedder()
    lists = [
        read(name, arguments.queries, arguments.candidates, embedder, models)
        for name in arguments.collections
    ]
    cache.close()
    print(f"| promise | scored | {' | '.join(arguments.collections)} | mean |")
    print("|---|---|" + "---|" * (len(lists) + 1))
    for promise in PROMISES:
        try:
            margins = [
                fitted([other for other in lists if other is not one], arguments.fit, promise)
                for one in lists
            ]
        except InputError as error:
            print(f"| {told(promise)} | {error} |")
            continue
        print(line(told(promise), lists, margins))
    with contextlib.suppress(InputError):
        known = bundled_margin(Reranker(arguments.cheap), Reranker(arguments.full))
        print(line("that which comes with the package", lists, [known] * len(lists)))


if __name__ == "__main__":
    main()
