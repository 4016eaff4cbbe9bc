"""Policies: what they cost and what they save.

    python benchmarks/policies.py                        # on the sample of the repository
    python benchmarks/policies.py cranfield scifact --queries 50

- cache: microseconds a pair of a warm hit, in memory and in the file;
- budget: how far a call exceeded its budget, in units of its longest batch;
- cascade and early stopping: the share of pairs scored, how often the full reranker's top 10 is
  complete, and nDCG@10, alone and blended as in a search, each against reranking everything.

Candidates are those of hybrid search. Shares do not depend on the machine; times do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from beir import Collection, load
from harness.evaluator import RankingEvaluator
from harness.suite import collection_settings

from secondpass import BaseReranker, Candidate, Index, Reranker, RerankResponse
from secondpass.policies import Blend, Budgeted, Cached, Cascade, EarlyStopping
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions

Lists = dict[str, list[Candidate]]
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="*", default=["sample"])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--budget-ms", type=float, default=80)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        # Each model scores each pair once, however many policies use it.
        cache_folder = Path(folder)
        full = Cached(Reranker(), cache_folder / "full.sqlite")
        cheap = Cached(Reranker("bundled-tiny"), cache_folder / "cheap.sqlite")
        for number, name in enumerate(arguments.collections):
            collection = load(name, arguments.queries, qrels=collection_settings(name).qrels)
            lists = hybrid_candidates(collection, cache_folder / name, arguments.candidates)
            if not number:
                print_cached(collection, lists, full, cache_folder / "full.sqlite")
                print_budget(collection, lists, arguments.budget_ms)
            print_shares(collection, lists, cheap, full)
        full.close()
        cheap.close()


def hybrid_candidates(collection: Collection, folder: Path, depth: int) -> Lists:
    """Return the candidates that hybrid search passes to its reranker, by query id."""
    with Index.open(folder, keep_states=False) as index:
        index.add(collection.documents)
        lists: Lists = {}
        for query, text in collection.queries.items():
            lists[query] = []
            index.search(text, rerank=_Recorder(lists[query]), blend=False, candidates=depth)
    return lists


class _Recorder(BaseReranker):
    """Records its candidates, with all scores of the first stages."""

    model = "recorder"

    def __init__(self, recorded: list[Candidate]) -> None:
        self._recorded = recorded

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        from secondpass import ScoreKind
        from secondpass.rerank.score import Score

        self._recorded += candidates
        return Scored([Score(0.0)] * len(candidates), ScoreKind.RANK)


def print_cached(collection: Collection, lists: Lists, full: Cached, file: Path) -> None:
    calls = [(collection.queries[q], candidates) for q, candidates in lists.items()]
    for query, candidates in calls:
        full.rerank(query, candidates)
    warm = [
        _microseconds(lambda c=c: full.score(c[0], c[1], ScoringOptions()), c[1]) for c in calls
    ]
    rerank_times = [_microseconds(lambda c=c: full.rerank(*c), c[1]) for c in calls]
    cold = Cached(full.reranker, file)
    cold.rerank(*calls[0])
    file_times = [
        _microseconds(lambda c=c: cold.score(c[0], c[1], ScoringOptions()), c[1]) for c in calls
    ]
    cold.close()
    print("| a pair of a warm hit | median µs | p95 µs |\n|---|---|---|")
    names = ("score, in memory", "rerank, in memory", "score, from the file")
    for name, values in zip(names, (warm, rerank_times, file_times[1:]), strict=True):
        print(f"| {name} | {statistics.median(values):.1f} | {_p95(values):.1f} |")


def _microseconds(call: Callable[[], object], candidates: Sequence[Candidate]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e6 / len(candidates)


class _Timed(BaseReranker):
    """Measures the time of each batch."""

    def __init__(self, inner: BaseReranker) -> None:
        self.inner = inner
        self.batches: list[float] = []

    @property
    def model(self) -> str:
        return self.inner.model

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        started = time.perf_counter()
        scored = self.inner.score(query, candidates, options)
        self.batches.append((time.perf_counter() - started) * 1000)
        return scored


def print_budget(collection: Collection, lists: Lists, budget_ms: float) -> None:
    timed = _Timed(Reranker())
    budgeted = Budgeted(timed, budget_ms)
    overshoots, batches, shares = [], [], []
    for query, candidates in lists.items():
        timed.batches.clear()
        started = time.perf_counter()
        response = budgeted.rerank(collection.queries[query], candidates)
        elapsed = (time.perf_counter() - started) * 1000
        overshoots.append(max(0.0, elapsed - budget_ms) / max(timed.batches))
        batches.append(len(timed.batches))
        shares.append(response.usage.scored / len(candidates))
    print(f"\nbudget of {budget_ms:g} ms, {len(overshoots)} calls, no states stored before:")
    print(f"- overshoot, in longest batches: p95 {_p95(overshoots):.2f}, ", end="")
    print(f"max {max(overshoots):.2f}")
    print(f"- scored {statistics.mean(shares):.0%} in {statistics.mean(batches):.1f} batches")


def print_shares(
    collection: Collection, lists: Lists, cheap: BaseReranker, full: BaseReranker
) -> None:
    evaluator = RankingEvaluator(
        collection.qrels, relevant=collection_settings(collection.name).relevant
    )
    policies = {
        "full": full,
        "cheap alone": cheap,
        "cascade": Cascade(cheap, full),
        "early stopping": EarlyStopping(full),
        "cascade, early stopping": Cascade(cheap, EarlyStopping(full)),
    }
    print(f"\n{collection.name}: {len(lists)} queries, {_mean_length(lists):.0f} candidates\n")
    print("| | scored | top 10 complete | of top 10 | nDCG@10 | blended: of top 10 | nDCG@10 |")
    print("|---|---|---|---|---|---|---|")
    reference_tops: list[list[list[str]]] = []
    for name, policy in policies.items():
        cells = [name]
        for column, variant in enumerate((policy, Blend(policy))):
            responses = {
                query: variant.rerank(collection.queries[query], candidates)
                for query, candidates in lists.items()
            }
            tops = [_top(response) for response in responses.values()]
            if len(reference_tops) == column:
                reference_tops.append(tops)
            shared = [
                len({*a} & {*b}) / max(1, len(b))
                for a, b in zip(tops, reference_tops[column], strict=True)
            ]
            if not column:
                scored = sum(r.usage.scored for r in responses.values())
                cells.append(f"{scored / sum(map(len, lists.values())):.0%}")
                cells.append(f"{statistics.mean(s == 1 for s in shared):.0%}")
            cells.append(f"{statistics.mean(shared):.1%}")
            ranked = {
                q: [str(r.id) for r in response.results] for q, response in responses.items()
            }
            cells.append(f"{evaluator.ndcg(ranked).mean():.4f}")
        print(f"| {' | '.join(cells)} |")


def _top(response: RerankResponse) -> list[str]:
    return [str(r.id) for r in response.results[:K]]


def _mean_length(lists: Lists) -> float:
    return statistics.mean(map(len, lists.values()))


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


if __name__ == "__main__":
    main()
