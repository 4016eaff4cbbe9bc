"""What a second pass finds with adaptive retrieval, feedback and several queries.

    python benchmarks/adaptive.py                                 # cranfield and cisi
    python benchmarks/adaptive.py scifact --queries 100 --stages bm25
    python benchmarks/adaptive.py cisi --systems plain feedback-3 --candidates 100

Every system reads the same number of candidates for a query, but "variants-max", which reads
them with each of its queries. Recall is that of the candidates that were read, nDCG@10 that of
the results, blended as by default; each is compared with "plain", query by query.

- variants: the query, the query without stop words, and its first half, made by rule;
- like: plain search, then a search that is told the first relevant document of the top 10;
  like-unlike: and the first that is not. Those documents count for neither system, and
  queries without such a document are left out.

The collections are those of quality.py. Indexes, scores and results are cached in
.cache/adaptive, so that an interrupted run can continue.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from beir import ROOT, Collection, load
from harness.embedder_key import embedder_key
from harness.indexes import open_index
from harness.progress import console, progress_bar
from harness.suite import collection_settings

from secondpass import Embedder, Index, Reranker
from secondpass.evaluate.measures import ranked_values
from secondpass.evaluate.significance import estimate_effect
from secondpass.models import bundled_path
from secondpass.policies import Cached
from secondpass.retrieve.keywords import find_query_keywords

CACHE = ROOT / ".cache" / "adaptive"
PLAIN = "plain"
_STOP_WORDS = frozenset(
    word.text
    for word in find_query_keywords(
        "a about all an and any are as at be been but by can could do does for from had has "
        "have how if in into is it its may more not of on or our should such than that the "
        "their them there these they this those to used was were what when where which who "
        "why will with would you"
    )
)


@dataclass(frozen=True)
class Ranked:
    """The ids of the results, and those that the caller named as examples."""

    ids: list[str]
    examples: list[str]


System = Callable[[Index, str, Mapping[str, int], Mapping[str, Any]], Ranked | None]
"""Searches for a query, of which it may know judgments; None where it does not apply."""


def searcher(**more: Any) -> System:
    """Return a system that searches with further options."""

    def search(
        index: Index, query: str, grades: Mapping[str, int], options: Mapping[str, Any]
    ) -> Ranked:
        given = {
            name: value(query) if callable(value) else value for name, value in more.items()
        }
        return Ranked(_ids(index, query, {**options, **given}), [])

    return search


def guided(unlike: bool) -> System:
    """Return a system that is told a relevant result of plain search, or also another."""

    def search(
        index: Index, query: str, grades: Mapping[str, int], options: Mapping[str, Any]
    ) -> Ranked | None:
        top = _ids(index, query, options)[:10]
        good = [name for name in top if grades.get(name, 0) > 0][:1]
        bad = [name for name in top if grades.get(name, 0) <= 0][:1] if unlike else []
        if not good or len(bad) < unlike:
            return None
        return Ranked(_ids(index, query, {**options, "like": good, "unlike": bad}), good + bad)

    return search


def variants(query: str) -> list[str]:
    """Return two wordings of a query, made by rule."""
    words = [word.text for word in find_query_keywords(query)]
    keywords = " ".join(word for word in words if word not in _STOP_WORDS)
    half = " ".join(query.split()[: max(3, len(query.split()) // 2)])
    return [text for text in (keywords, half) if text]


SYSTEMS: dict[str, System] = {
    PLAIN: searcher(),
    "adaptive": searcher(adaptive=True),
    "feedback-3": searcher(feedback=3),
    "variants": searcher(query_variants=variants),
    "variants-max": searcher(query_variants=variants, variant_scores="max"),
    "like": guided(unlike=False),
    "like-unlike": guided(unlike=True),
}


def _ids(index: Index, query: str, options: Mapping[str, Any]) -> list[str]:
    response = index.search(query, top_k=None, return_documents=False, **options)
    return [str(result.id) for result in response.results]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="*", default=["cranfield", "cisi"])
    parser.add_argument("--queries", type=int, metavar="N", help="only the first N of each")
    parser.add_argument("--candidates", type=int, default=40, metavar="N")
    parser.add_argument("--stages", nargs="+", default=["bm25", "hybrid"])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--indexes", type=Path, default=CACHE, help="where indexes are cached")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each model")
    arguments = parser.parse_args()
    embedder = Embedder(threads=arguments.threads)
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, CACHE / "embedders.json")
    reranker = Cached(Reranker(threads=arguments.threads), CACHE / "scores.sqlite")
    print("| collection | first stage | system | queries | nDCG@10 | Δ | 95 % | p |", end="")
    print(f" R@{arguments.candidates} | Δ | p |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.collections:
        settings = collection_settings(name)
        collection = load(name, arguments.queries, settings.candidates_file, settings.qrels)
        with open_index(collection, embedder, arguments.indexes / f"{name}-{key}") as index:
            for mode in arguments.stages:
                options = {"mode": mode, "candidates": arguments.candidates, "rerank": reranker}
                runs = {
                    system: run(index, collection, system, options)
                    for system in dict.fromkeys([PLAIN, *arguments.systems])
                }
                report(collection, mode, runs, arguments.candidates, settings.relevant)
    reranker.close()


def run(
    index: Index, collection: Collection, system: str, options: Mapping[str, Any]
) -> dict[str, Ranked]:
    """Return the results of each query, from the cache as far as it has them."""
    name = f"{collection.name}-{options['mode']}-{options['candidates']}-{system}.jsonl"
    file = CACHE / "runs" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    done: dict[str, Ranked | None] = {}
    for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
        row = json.loads(line)
        done[row["query"]] = None if row["ids"] is None else Ranked(row["ids"], row["examples"])
    missing = [query for query in collection.queries if query not in done]
    with (
        progress_bar(
            f"{collection.name}, {options['mode']}: {system}", len(missing)
        ) as advance,
        file.open("a", encoding="utf-8") as stream,
    ):
        for query in missing:
            ranked = SYSTEMS[system](
                index, collection.queries[query], collection.qrels[query], options
            )
            done[query] = ranked
            ids, examples = (None, None) if ranked is None else (ranked.ids, ranked.examples)
            stream.write(json.dumps({"query": query, "ids": ids, "examples": examples}) + "\n")
            stream.flush()
            advance(1)
    known = {query: done[query] for query in collection.queries}
    return {query: ranked for query, ranked in known.items() if ranked is not None}


def report(
    collection: Collection,
    mode: str,
    runs: Mapping[str, Mapping[str, Ranked]],
    depth: int,
    relevant: int,
) -> None:
    """Print a row for each system, compared with plain search over the same queries."""
    measures = ["nDCG@10", f"R(rel={relevant})@{depth}"]
    for system, found in runs.items():
        residual = {
            query: {d: g for d, g in collection.qrels[query].items() if d not in r.examples}
            for query, r in found.items()
        }
        judged = [q for q, grades in residual.items() if any(g > 0 for g in grades.values())]
        if not judged:
            console.print(f"{collection.name}, {mode}: no query is left for {system}")
            continue

        def values(other: Mapping[str, Ranked]) -> list[np.ndarray]:
            ranked = {q: _without(other[q].ids, found[q].examples) for q in judged}  # noqa: B023
            qrels = {q: residual[q] for q in judged}  # noqa: B023
            columns = ranked_values(ranked, qrels, measures)
            return [np.asarray(columns[measure]) for measure in measures]

        own, plain = values(found), values(runs[PLAIN])
        ndcg, recall = (estimate_effect(a - b) for a, b in zip(own, plain, strict=True))
        cells: Iterable[str] = [collection.name, mode, system, str(len(judged))]
        cells = [*cells, f"{own[0].mean():.4f}"]
        if system == PLAIN:
            cells = [*cells, "", "", "", f"{own[1].mean():.4f}", "", ""]
        else:
            cells = [*cells, f"{ndcg.mean:+.4f}", f"{ndcg.low:+.4f} to {ndcg.high:+.4f}"]
            cells = [*cells, f"{ndcg.p:.3f}", f"{own[1].mean():.4f}"]
            cells = [*cells, f"{recall.mean:+.4f}", f"{recall.p:.3f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def _without(ids: list[str], examples: list[str]) -> list[str]:
    return [name for name in ids if name not in examples]


if __name__ == "__main__":
    main()
