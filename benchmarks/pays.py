"""Does reranking pay? A report for each collection, from the cache of quality.py.

    python benchmarks/pays.py --collections sample     # the one in the repository
    python benchmarks/pays.py --write                  # all, written into the docs
    python benchmarks/pays.py --no-time --write        # without timing searches

Candidates and pair scores are those of .cache/quality; what shallow depths need besides is
scored now and cached there. Of squad-dev the first 300 questions are used. As in
`secondpass report`, the reading of questions by `bundled-full` is one of the variants.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from beir import DATA, ROOT, Collection, load, missing
from harness.embedder_key import embedder_key
from harness.indexes import open_index
from harness.pair_scores import (
    PairScoreCache,
    PairScorer,
    gives_logits,
    logit_probabilities,
)
from harness.progress import console
from harness.suite import SUITE, collection_settings
from quality import CACHE, load_candidates

from secondpass import Embedder, Reranker, ScoreKind, SecondpassError
from secondpass.evaluate.collection import Collection as Judged
from secondpass.evaluate.defaults import DEPTHS
from secondpass.evaluate.experiment import (
    ExperimentData,
    rescored_name,
)
from secondpass.evaluate.first_stage import (
    FirstStageCandidate,
    FirstStageRankings,
    FirstStageRuns,
)
from secondpass.evaluate.latency import Latencies, measure_latency
from secondpass.evaluate.report.figures import depth_plot
from secondpass.evaluate.report.html import html_page
from secondpass.evaluate.report.json import as_object
from secondpass.evaluate.report.number_format import (
    format_difference,
    format_number,
    format_p_value,
)
from secondpass.evaluate.report.svg import standalone_svg
from secondpass.evaluate.report.text import describe_variant, headline
from secondpass.evaluate.study import Study, analyze
from secondpass.evaluate.variant_builders import passages_to_rescore, passages_to_score
from secondpass.models import RESCORERS, bundled_path
from secondpass.rerank.policies.blend import Blend
from secondpass.rerank.policies.rescore import one_window
from secondpass.rerank.scoring_options import ScoringOptions

PAGE = ROOT / "docs" / "explanation" / "does-reranking-pay.md"
FOLDER = PAGE.with_suffix("")
BEGIN, END = "<!-- report: begin -->", "<!-- report: end -->"
LIMITS = {"squad-dev": 300}
DEPTH = 100


def load_experiment(
    name: str, models: list[str], embedder: Embedder, *, timed: bool
) -> ExperimentData:
    """Return a collection's candidates and scores, from the cache as far as it has them."""
    settings = collection_settings(name)
    collection = load(name, LIMITS.get(name), settings.candidates_file, settings.qrels)
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, CACHE / "embedders.json")
    candidates = load_candidates(collection, settings, embedder, key, depth=DEPTH)
    rankings = {
        query: FirstStageRankings(
            stages["bm25"], stages.get("vector") or _by_cosine(stages["bm25"])
        )
        for query, stages in candidates.items()
    }
    mode = "hybrid" if settings.candidates_file is None else "bm25"
    searches = [(mode, depth, "rrf") for depth in DEPTHS]
    documents = passages_to_score(collection.queries, rankings, searches)
    cache = PairScoreCache(CACHE / "scores.sqlite")
    scores = {
        m: PairScorer(m, cache, states=CACHE).score(collection, documents) for m in models
    }
    weights = {m: Blend(Reranker(m)).weights for m in models}
    rescorers = {RESCORERS[m] for m in models if m in RESCORERS}
    first_ids = passages_to_rescore(
        collection.queries, rankings, searches, [(scores[m], weights[m]) for m in models]
    )
    rescored = {
        r: PairScorer(r, cache, options=one_window(ScoringOptions())).score(
            collection, first_ids
        )
        for r in rescorers
    }
    cache.close()
    latencies = None
    if timed and settings.candidates_file is None:
        latencies = _measure_latency(collection, models, embedder, key)
    return ExperimentData(
        Judged(name, collection.queries, collection.qrels),
        FirstStageRuns(rankings, {str(d.id): d for d in collection.documents}, DEPTH),
        DEPTHS,
        scores,
        weights,
        latencies,
        probabilities={
            m: logit_probabilities(model_scores)
            for m, model_scores in scores.items()
            if gives_logits(m)
        },
        score_kinds={m: ScoreKind.LOGIT for m in models if gives_logits(m)},
        rescored=rescored,
        automatic=frozenset(rescorers),
    )


def _by_cosine(entries: list[FirstStageCandidate]) -> list[FirstStageCandidate]:
    return sorted(entries, key=lambda e: -(e.vector or 0.0))


def _measure_latency(
    collection: Collection, models: list[str], embedder: Embedder, key: str
) -> Latencies:
    with open_index(collection, embedder, CACHE / f"{collection.name}-{key}") as index:
        rerankers = {m: index.reranker(m) for m in models}
        for model in models:
            if (name := RESCORERS.get(model)) is not None:
                rerankers[rescored_name(model, name)] = rerankers[model]
        modes = ("hybrid", "bm25", "vector")
        questions = list(collection.queries.values())
        with console.status(f"{collection.name}: timing"):
            return measure_latency(
                index,
                questions,
                rerankers,
                DEPTHS,
                modes=modes,
                searches=10,
                automatic=rerankers.keys() - set(models),
            )


def table(studies: dict[str, Study]) -> list[str]:
    """Return the verdicts as a Markdown table, one row for each collection."""
    heads = [
        "collection",
        "tuned fusion",
        "gain of reranking",
        "95 %",
        "p",
        "perfect",
        "answer",
    ]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for name, study in studies.items():
        gain, base = study.gain, study.baseline
        lines.append(
            _row(
                [
                    f"[{name}]({FOLDER.name}/{name}.html) ({len(study.gain_by_query)})",
                    f"{format_number(base.mean)} by"
                    f" {describe_variant(base).removeprefix('tuned fusion ')}",
                    format_difference(gain.mean),
                    f"{format_difference(gain.low)} to {format_difference(gain.high)}",
                    format_p_value(gain.p).removeprefix("p = ").removeprefix("p "),
                    format_number(study.bounds[-1].perfect),
                    headline(study),
                ]
            )
        )
    return lines


def write(studies: dict[str, Study]) -> None:
    FOLDER.mkdir(exist_ok=True)
    parts = [*table(studies), ""]
    for name, study in studies.items():
        (FOLDER / f"{name}.html").write_text(html_page(study), "utf-8")
        (FOLDER / f"{name}.svg").write_text(standalone_svg(depth_plot(study)), "utf-8")
        parts += [
            f"**{name}**",
            "",
            f"![Gain over tuned fusion by depth on {name}]({FOLDER.name}/{name}.svg)",
            "",
        ]
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{chr(10).join(parts)}{END}{after}", "utf-8")
    console.print(f"Written to {PAGE.relative_to(ROOT)} and {FOLDER.relative_to(ROOT)}/")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--collections", nargs="+", default=list(SUITE), metavar="NAME")
    add("--models", nargs="+", default=["bundled"], metavar="MODEL")
    add("--no-time", action="store_true", help="do not time searches")
    add("--json", type=Path, metavar="FILE", help="write every figure there")
    add("--write", action="store_true", help="write the reports into the docs")
    arguments = parser.parse_args()
    absent = missing(arguments.collections)
    if absent:
        console.print(f"Not found in {DATA / 'eval'}: {', '.join(absent)}. See README.md.")
        return 2
    studies: dict[str, Study] = {}
    try:
        embedder = Embedder()
        for name in arguments.collections:
            data = load_experiment(
                name, arguments.models, embedder, timed=not arguments.no_time
            )
            mode = "hybrid" if collection_settings(name).candidates_file is None else "bm25"
            with console.status(f"{name}: fitting and testing"):
                studies[name] = analyze(data, mode=mode)
            print(f"{name}: {headline(studies[name])}")
    except SecondpassError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    print()
    print("\n".join(table(studies)))
    if arguments.json is not None:
        report = {name: as_object(study) for name, study in studies.items()}
        arguments.json.write_text(json.dumps(report, indent=1), "utf-8")
    if arguments.write:
        write(studies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
