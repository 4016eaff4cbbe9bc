"""nDCG@10 of searches whose first results another model reads once more, by weight.

    python benchmarks/rescore.py                                  # bundled, then bundled-full
    python benchmarks/rescore.py --all --window 20                # not for questions alone
    python benchmarks/rescore.py --rescorer FOLDER                # another model
    SECONDPASS_DATA=.cache/sources python benchmarks/rescore.py --collections medical
    python benchmarks/rescore.py --latency --collections scifact  # what a search takes

Candidates are the first 100 of BM25 and of hybrid search. `fused` is the default blend of a
search without rescoring; a weight is that of `Rescored`. The difference to
`fused` at the default weight is tested over all queries of a collection (Fisher's randomization
test). Collections and caches are those of `quality.py`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import quality
from beir import Collection, load
from harness.embedder_key import embedder_key
from harness.indexes import open_index
from harness.pair_scores import PairScoreCache, PairScorer
from harness.rescored import SecondReading
from harness.scored_collection import ScoredCollection, score_collection
from harness.suite import SETTINGS, SUITE, collection_settings

from secondpass import Embedder
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.score_matrix import FloatArray, ranked_ids
from secondpass.evaluate.significance import estimate_effect
from secondpass.models import bundled_path
from secondpass.option_values import RESCORE_WEIGHT as WEIGHT
from secondpass.option_values import RESCORE_WINDOW as WINDOW
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.rerank.policies.rescore import one_window
from secondpass.rerank.scoring_options import ScoringOptions

WEIGHTS = (0.3, 0.5, 0.8, 1.2)


def measure(
    collection: Collection,
    scored: ScoredCollection,
    setting: str,
    rescorer: PairScorer,
    *,
    window: int,
    questions_only: bool,
) -> list[str]:
    """Return the cells of one row: fused, the rescorer alone, by weight, and the test."""
    pool = scored.pools[setting]
    fused = weighted_sum(standardize_columns(pool), DEFAULT_WEIGHTS)
    reading = SecondReading(
        collection, pool, fused, rescorer, window=window, questions_only=questions_only
    )

    def ndcg(weight: float) -> FloatArray:
        return scored.evaluator.ndcg(ranked_ids(pool, reading.scores(weight)))

    before = scored.evaluator.ndcg(ranked_ids(pool, fused))
    # A weight so high that only the rescorer orders what it read.
    alone = ndcg(1e6)
    by_weight = {w: ndcg(w) for w in {*WEIGHTS, WEIGHT}}
    effect = estimate_effect(by_weight[WEIGHT] - before)
    cells = [f"{before.mean():.3f}", f"{alone.mean():.3f}"]
    cells += [f"{by_weight[w].mean():.3f}" for w in WEIGHTS]
    return [*cells, f"{effect.mean:+.3f}", f"{effect.p:.3f}", f"{effect.won}:{effect.lost}"]


def latency(
    collection: Collection, embedder: Embedder, key: str, rescorer: str, window: int
) -> str:
    """Return the cells of one row: medians of searches without and with a rescorer."""
    settings = collection_settings(collection.name)
    if settings.candidates_file is not None:
        raise SystemExit(f"{collection.name} has no corpus to search")
    took: dict[bool, list[float]] = {False: [], True: []}
    folder = quality.CACHE / f"{collection.name}-{key}"
    with open_index(collection, embedder, folder) as index:
        for number, query in enumerate(collection.queries.values()):
            # What comes second finds the candidates' states in memory.
            for rescores in (False, True) if number % 2 else (True, False):
                began = time.perf_counter()
                index.search(
                    query,
                    candidates=50,
                    rescore=rescorer if rescores else "none",
                    rescore_window=window,
                )
                # The first two load the models.
                if number > 1:
                    took[rescores].append(1000 * (time.perf_counter() - began))
    without, with_it = (statistics.median(took[rescores]) for rescores in (False, True))
    return f"{len(took[True])} | {without:.0f} | {with_it:.0f} | {with_it / without:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--collections", nargs="+", default=list(SUITE), metavar="NAME")
    add("--queries", type=int, metavar="N", help="only the first N questions of each")
    add("--model", default="bundled", help="what reads all candidates")
    add("--rescorer", default="bundled-full", help="what reads the first ones again")
    add("--window", type=int, default=WINDOW, metavar="N")
    add("--all", action="store_true", help="let it read for queries that are no questions, too")
    add("--whole", action="store_true", help="let it read all windows of a text")
    add("--candidates", type=int, default=100, metavar="N")
    add("--latency", action="store_true", help="time searches with 50 candidates instead")
    parsed = parser.parse_args(arguments)
    embedder = Embedder()
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, quality.CACHE / "embedders.json")
    if parsed.latency:
        print("| collection | searches | ms | ms, rescored | ratio |\n|---|---|---|---|---|")
        for name in parsed.collections:
            collection = load(name, parsed.queries or 50, None, collection_settings(name).qrels)
            row = latency(collection, embedder, key, parsed.rescorer, parsed.window)
            print(f"| {name} | {row} |", flush=True)
        return
    cache = PairScoreCache(quality.CACHE / "scores.sqlite")
    scorer = PairScorer(parsed.model, cache, states=quality.CACHE)
    rescorer = PairScorer(
        parsed.rescorer,
        cache,
        options=None if parsed.whole else one_window(ScoringOptions()),
    )
    weights = " | ".join(f"{weight:g}" for weight in WEIGHTS)
    print(
        f"| collection | first stage | fused | {parsed.rescorer} | {weights} | at {WEIGHT:g} |"
        " p | won:lost |"
    )
    print("|---|---|---|---|" + "---|" * len(WEIGHTS) + "---|---|---|")
    for name in parsed.collections:
        settings = collection_settings(name)
        collection = load(name, parsed.queries, settings.candidates_file, settings.qrels)
        candidates = quality.load_candidates(
            collection, settings, embedder, key, depth=parsed.candidates
        )
        scored = score_collection(collection, settings, candidates, scorer)
        for setting, label in SETTINGS.items():
            if settings.candidates_file is not None and setting != next(iter(SETTINGS)):
                continue
            cells = measure(
                collection,
                scored,
                setting,
                rescorer,
                window=parsed.window,
                questions_only=not parsed.all,
            )
            print(f"| {name} | {label} | " + " | ".join(cells) + " |", flush=True)
    cache.close()


if __name__ == "__main__":
    main()
