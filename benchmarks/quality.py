"""Quality of the second pass: nDCG@10 on six collections, over two first stages.

    python benchmarks/quality.py                          # everything; can be continued
    python benchmarks/quality.py --queries 5              # a quick look
    python benchmarks/quality.py --no-rerank              # first stages and their fusion only
    python benchmarks/quality.py --neighbors              # and fused with neighbors
    python benchmarks/quality.py --compare FOLDER         # another model, same candidates
    python benchmarks/quality.py --write                  # and write the tables into the docs

The weights of a collection's row are fitted on the other collections only. The collections are
in $SECONDPASS_DATA/eval in BEIR layout; see benchmarks/README.md. Indexes, candidates and pair
scores are cached in .cache/quality.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from beir import DATA, ROOT, Collection, load, missing
from harness.candidates import (
    CandidateFinder,
    StageCandidates,
    VectorFinder,
    cached_candidates,
    cached_vectors,
    encoded_vectors,
    index_finder,
    index_vectors,
    run_finder,
)
from harness.comparison import Difference, compare, comparison_targets
from harness.embedder_key import embedder_key
from harness.indexes import open_index
from harness.json_report import results_as_json
from harness.pair_scores import PairScoreCache, PairScorer
from harness.progress import console
from harness.rescored import measure_read_again
from harness.results import FUSED, QualityResults, measure_quality
from harness.scored_collection import ScoredCollection, score_collection
from harness.suite import SUITE, CollectionSettings, collection_settings
from harness.tables import comparison_table, render_report
from harness.targets import Target, first_stage_targets, reranker_targets

import secondpass
from secondpass import Embedder, SecondpassError
from secondpass.evaluate.score_matrix import Vectors
from secondpass.models import RESCORERS, bundled_path
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.rerank.policies.rescore import one_window
from secondpass.rerank.scoring_options import ScoringOptions

CACHE = ROOT / ".cache" / "quality"
PAGE = ROOT / "docs" / "explanation" / "quality.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


class QualityRun:
    """The models and caches of one run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.depth, self.limits = arguments.candidates, arguments.limits
        self.fresh, self.neighbors = arguments.fresh, arguments.neighbors
        self.embedder = Embedder(threads=arguments.threads)
        tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
        self.key = embedder_key(self.embedder, tokenizer, CACHE / "embedders.json")

    def load(self, name: str) -> Collection:
        """Return a collection, as far as it is measured."""
        settings = collection_settings(name)
        return load(name, self.limits[name], settings.candidates_file, settings.qrels)

    def read(self, name: str, scorers: list[PairScorer | None]) -> list[ScoredCollection]:
        """Return a collection scored by each scorer, over the same candidates."""
        settings, collection = collection_settings(name), self.load(name)
        candidates = load_candidates(
            collection, settings, self.embedder, self.key, depth=self.depth, fresh=self.fresh
        )
        vectors = None
        if self.neighbors:
            vectors = load_vectors(
                collection,
                settings,
                candidates,
                self.embedder,
                self.key,
                depth=self.depth,
                fresh=self.fresh,
            )
        return [
            score_collection(collection, settings, candidates, scorer, vectors)
            for scorer in scorers
        ]


def load_candidates(
    collection: Collection,
    settings: CollectionSettings,
    embedder: Embedder,
    key: str,
    *,
    depth: int,
    fresh: bool = False,
) -> dict[str, StageCandidates]:
    """Return the candidates of a collection, from the cache as far as it has them.

    `key` is the embedder's cache key.
    """
    name = collection.name
    file = CACHE / f"{name}-{key}-{depth}.jsonl"
    if fresh:
        file.unlink(missing_ok=True)

    @contextmanager
    def finder() -> Iterator[CandidateFinder]:
        if settings.candidates_file is not None:
            yield run_finder(collection, embedder, depth)
            return
        folder = CACHE / f"{name}-{key}"
        with open_index(collection, embedder, folder, fresh=fresh) as index:
            yield index_finder(index.retriever, depth)

    return cached_candidates(collection, file, finder)


def load_vectors(
    collection: Collection,
    settings: CollectionSettings,
    candidates: Mapping[str, StageCandidates],
    embedder: Embedder,
    key: str,
    *,
    depth: int,
    fresh: bool = False,
) -> Vectors:
    """Return the vectors of a collection's candidates, from the cache if it has them."""
    name = collection.name
    file = CACHE / f"{name}-{key}-{depth}-vectors.npz"
    if fresh:
        file.unlink(missing_ok=True)

    @contextmanager
    def finder() -> Iterator[VectorFinder]:
        if settings.candidates_file is not None:
            yield encoded_vectors(collection, embedder)
            return
        with open_index(collection, embedder, CACHE / f"{name}-{key}") as index:
            yield index_vectors(collection, index.retriever)

    return cached_vectors(candidates, file, finder)


def report(
    arguments: argparse.Namespace, results: QualityResults, differences: list[Difference]
) -> list[Target]:
    """Print the tables, write them into the docs with --write, and return the targets."""
    model = "no model" if arguments.no_rerank else f"model {arguments.model}"
    firsts = [f"the first {n} of {name}" for name, n in arguments.limits.items() if n]
    part = "all questions" + (f" but of these: {', '.join(firsts)}" if firsts else "")
    caption = (
        f"secondpass {secondpass.__version__}, {model}, {arguments.candidates} candidates,"
        f" {part}, {date.today().isoformat()}."
    )
    text = render_report(results, arguments.candidates, caption)
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


def parse_arguments() -> argparse.Namespace:
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
    add("--overlap", type=float, default=0.95, help="minimum RBO of the two; 0 for no target")
    add("--no-rerank", action="store_true", help="only the first stages and their fusion")
    add("--neighbors", action="store_true", help="also fuse with neighbors, beside fused")
    add("--threads", type=int, metavar="N", help="threads of each model")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    add("--write", action="store_true", help="write the tables into the docs")
    add("--fresh", action="store_true", help="index and search again")
    add("--score-again", action="store_true", help="score the pairs again")
    arguments = parser.parse_args()
    arguments.collections = list(dict.fromkeys(arguments.collections))
    arguments.limits = dict.fromkeys(arguments.collections, arguments.queries)
    for option in arguments.limit:
        name, _, number = option.partition("=")
        if name not in arguments.limits or not number.isdecimal() or int(number) < 1:
            parser.error(f"--limit {option}: give NAME=N with a collection that is measured")
        arguments.limits[name] = int(number)
    for name in ("queries", "candidates", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1")
    if arguments.no_rerank and arguments.compare is not None:
        parser.error("--compare needs the reranker that --no-rerank leaves out")
    if arguments.no_rerank and arguments.neighbors:
        parser.error("--neighbors needs the reranker that --no-rerank leaves out")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    try:
        return run(arguments)
    except SecondpassError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print(
            "Interrupted. The work done is cached: the same command continues from here."
        )
        return 130


def run(arguments: argparse.Namespace) -> int:
    missing_names = missing(arguments.collections)
    if missing_names:
        console.print(
            f"Not found in {DATA / 'eval'}: {', '.join(missing_names)}.\n"
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
        console.print(
            "The two models have windows of different lengths, which changes the scores too."
        )
    for scorer in scorers if arguments.score_again else []:
        if scorer is not None:
            cache.delete_model(scorer.key)
    quality_run = QualityRun(arguments)
    read = [quality_run.read(name, scorers) for name in arguments.collections]
    for scored in read:
        console.print(f"{scored[0].name}: {scored[0].pairs:,} pairs", highlight=False)
    collections = [scored[0] for scored in read]
    with console.status("fitting and testing"):
        results = measure_quality(collections, arguments.candidates, DEFAULT_WEIGHTS)
    # What a search does without being asked for it.
    again = None if arguments.no_rerank else RESCORERS.get(arguments.model)
    if again is not None:
        rescorer = PairScorer(
            again, cache, threads=arguments.threads, options=one_window(ScoringOptions())
        )
        measure_read_again(results, collections, quality_run.load, rescorer)
    cache.close()
    with console.status("fitting and testing"):
        differences = []
        if arguments.compare is not None:
            differences = compare(
                collections, [scored[1] for scored in read], results.fits[FUSED]
            )
    targets = report(arguments, results, differences)
    if arguments.json is not None:
        queries = {scored.name: scored.evaluator.queries for scored in collections}
        report_object = results_as_json(results, queries, targets, differences)
        arguments.json.write_text(json.dumps(report_object, indent=1), "utf-8")
    partial = any(arguments.limits.values()) or set(arguments.collections) != set(SUITE)
    return 0 if partial or all(target.met is not False for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
