"""What the second pass is worth: nDCG@10 on six collections, over two first stages.

    python benchmarks/quality.py                          # all of it; interrupted, it goes on
    python benchmarks/quality.py --queries 5              # a quick look
    python benchmarks/quality.py --no-rerank              # first stages and their fusion only
    python benchmarks/quality.py --compare FOLDER         # another model, same candidates
    python benchmarks/quality.py --write                  # and put the tables into the docs

The weights of a collection's row were fitted on the other collections only. The collections
lie in $SECONDPASS_DATA/eval in BEIR layout; see benchmarks/README.md. Indexes, candidates
and the scores of pairs are kept in .cache/quality.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from beir import DATA, ROOT, Collection, load, missing
from harness.candidates import (
    CandidateFinder,
    StageCandidates,
    cached_candidates,
    index_finder,
    run_finder,
)
from harness.comparison import Difference, compare, comparison_targets
from harness.embedder_key import embedder_key
from harness.indexes import open_index
from harness.json_report import results_as_json
from harness.pair_scores import PairScoreCache, PairScorer
from harness.progress import console
from harness.results import FUSED, QualityResults, measure_quality
from harness.scored_collection import ScoredCollection, score_collection
from harness.suite import SUITE, CollectionSettings, collection_settings
from harness.tables import comparison_table, render_report
from harness.targets import Target, first_stage_targets, reranker_targets

import secondpass
from secondpass import Embedder, SecondpassError
from secondpass.models import bundled_path
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.retrieve.retriever import Retriever

CACHE = ROOT / ".cache" / "quality"
PAGE = ROOT / "docs" / "explanation" / "quality.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


class Bench:
    """The models and caches of one run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.depth, self.limits = arguments.candidates, arguments.limits
        self.fresh = arguments.fresh
        self.embedder = Embedder(threads=arguments.threads)
        tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
        self.key = embedder_key(self.embedder, tokenizer, CACHE / "embedders.json")

    def read(self, name: str, scorers: list[PairScorer | None]) -> list[ScoredCollection]:
        """Return a collection, once for each scorer, over the same candidates."""
        how = collection_settings(name)
        collection = load(name, self.limits[name], how.candidates_file, how.qrels)
        found = load_candidates(
            collection, how, self.embedder, self.key, depth=self.depth, fresh=self.fresh
        )
        return [score_collection(collection, how, found, scorer) for scorer in scorers]


def load_candidates(
    collection: Collection,
    how: CollectionSettings,
    embedder: Embedder,
    key: str,
    *,
    depth: int,
    fresh: bool = False,
) -> dict[str, StageCandidates]:
    """Return the candidates of a collection, from the cache where it has them.

    `key` is what the cache knows the embedder by.
    """
    name = collection.name
    file = CACHE / f"{name}-{key}-{depth}.jsonl"
    if fresh:
        file.unlink(missing_ok=True)

    @contextmanager
    def finder() -> Iterator[CandidateFinder]:
        if how.candidates_file is not None:
            yield run_finder(collection, embedder, depth)
            return
        where = CACHE / f"{name}-{key}"
        with open_index(collection, embedder, where, fresh=fresh) as index:
            retriever = Retriever(index.store, embedder)
            try:
                yield index_finder(retriever, depth)
            finally:
                retriever.close()

    return cached_candidates(collection, file, finder)


def report(
    arguments: argparse.Namespace, results: QualityResults, differences: list[Difference]
) -> list[Target]:
    """Print the tables, write them where they were asked for, and return the bars."""
    model = "no model" if arguments.no_rerank else f"model {arguments.model}"
    firsts = [f"the first {n} of {name}" for name, n in arguments.limits.items() if n]
    part = "all questions" + (f" but of these: {', '.join(firsts)}" if firsts else "")
    made_by = (
        f"secondpass {secondpass.__version__}, {model}, {arguments.candidates} candidates,"
        f" {part}, {date.today().isoformat()}."
    )
    text = render_report(results, arguments.candidates, made_by)
    print(text)
    targets = list(first_stage_targets(results))
    if FUSED in results.fits:
        targets += reranker_targets(results)
    if differences:
        print()
        print("\n".join(comparison_table(differences, arguments.model, arguments.compare)))
        targets += comparison_targets(differences, arguments.within, arguments.overlap)
    print()
    print("\n".join(map(str, targets)))
    if arguments.write:
        write(text)
    return targets


def write(text: str) -> None:
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
    console.print(f"Written to {PAGE.relative_to(ROOT)}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--collections", nargs="+", default=list(SUITE), metavar="NAME")
    add("--queries", type=int, metavar="N", help="only the first N questions of each")
    add("--limit", action="append", default=[], metavar="NAME=N", help="the first N of one")
    add("--candidates", type=int, default=100, metavar="N")
    add("--model", default="bundled", help="a name or a folder")
    add("--compare", metavar="MODEL", help="another model, fused by the same weights")
    add("--within", type=float, default=0.003, help="how far the two means may differ")
    add("--overlap", type=float, default=0.95, help="least RBO of the two; 0 for no bar")
    add("--no-rerank", action="store_true", help="only the first stages and their fusion")
    add("--threads", type=int, metavar="N", help="threads of each model")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    add("--write", action="store_true", help="put the tables into the docs")
    add("--fresh", action="store_true", help="index and search again")
    add("--rescore", action="store_true", help="score the pairs again")
    arguments = parser.parse_args()
    arguments.collections = list(dict.fromkeys(arguments.collections))
    arguments.limits = dict.fromkeys(arguments.collections, arguments.queries)
    for one in arguments.limit:
        name, _, number = one.partition("=")
        if name not in arguments.limits or not number.isdecimal() or int(number) < 1:
            parser.error(f"--limit {one}: give NAME=N with a collection that is measured")
        arguments.limits[name] = int(number)
    for name in ("queries", "candidates", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1")
    if arguments.no_rerank and arguments.compare is not None:
        parser.error("--compare needs the reranker that --no-rerank leaves out")
    return arguments


def main() -> int:
    arguments = parsed()
    try:
        return run(arguments)
    except SecondpassError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("Interrupted. What was done is kept: the same command goes on from here.")
        return 130


def run(arguments: argparse.Namespace) -> int:
    absent = missing(arguments.collections)
    if absent:
        console.print(
            f"Not found in {DATA / 'eval'}: {', '.join(absent)}.\n"
            "Set SECONDPASS_DATA to a folder with eval/NAME/corpus.jsonl, queries.jsonl and"
            " qrels/test.tsv (BEIR layout, gzip allowed), or try what is here:"
            " python benchmarks/quality.py --collections sample",
            soft_wrap=True,
        )
        return 2
    cache = PairScoreCache(CACHE / "scores.sqlite")
    models = [m for m in (arguments.model, arguments.compare) if m is not None]
    scorers: list[PairScorer | None] = [
        PairScorer(model, cache, threads=arguments.threads, states=CACHE) for model in models
    ]
    if arguments.no_rerank:
        scorers = [None]
    lengths = {scorer.length for scorer in scorers if scorer is not None}
    if len(lengths) > 1:
        console.print("The two models read windows of other lengths, so not only they differ.")
    for scorer in scorers if arguments.rescore else []:
        if scorer is not None:
            cache.delete_model(scorer.key)
    bench = Bench(arguments)
    read = [bench.read(name, scorers) for name in arguments.collections]
    cache.close()
    for one in read:
        console.print(f"{one[0].name}: {one[0].pairs:,} pairs", highlight=False)
    ones = [one[0] for one in read]
    with console.status("fitting and testing"):
        results = measure_quality(ones, arguments.candidates, DEFAULT_WEIGHTS)
        differences = []
        if arguments.compare is not None:
            differences = compare(ones, [one[1] for one in read], results.fits[FUSED])
    targets = report(arguments, results, differences)
    if arguments.json is not None:
        queries = {one.name: one.evaluator.queries for one in ones}
        whole = results_as_json(results, queries, targets, differences)
        arguments.json.write_text(json.dumps(whole, indent=1), "utf-8")
    partial = any(arguments.limits.values()) or set(arguments.collections) != set(SUITE)
    return 0 if partial or all(target.met is not False for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
