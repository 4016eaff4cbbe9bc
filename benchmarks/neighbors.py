"""What the part "neighbors" of a blend changes: nDCG@10 with and without it, won/lost.

    python benchmarks/neighbors.py                       # every collection of the quality suite
    python benchmarks/neighbors.py trec-dl19-rerank --weight 0.2 0.4 0.8
    python benchmarks/neighbors.py scifact cisi --queries 60 --candidates 50

The other weights are those that ship. Candidates are those of BM25 and of hybrid search, or
those that come with a collection. The collections are in $SECONDPASS_DATA/eval in BEIR layout;
indexes are cached in .cache/quality, with those of benchmarks/quality.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from beir import Collection, load, missing
from harness.embedder_key import embedder_key
from harness.indexes import open_index
from harness.progress import console, progress_bar
from harness.suite import SUITE, collection_settings
from quality import CACHE

from secondpass import BaseReranker, Candidate, Document, Embedder, Reranker
from secondpass.evaluate.measures import ranked_values
from secondpass.evaluate.significance import estimate_effect
from secondpass.models import bundled_path
from secondpass.policies import Blend, Cached
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS, VectorLookup
from secondpass.retrieve.store_protocol import searchable

MEASURE = "nDCG@10"
Find = Callable[[str, str], Mapping[str, list[Candidate]]]
"""Returns, for a query id and its question, the candidates by first stage."""


@contextmanager
def first_stages(
    collection: Collection, embedder: Embedder, key: str, depth: int
) -> Iterator[tuple[BaseReranker, Find, VectorLookup]]:
    """Open what candidates of a collection are found, read and compared by."""
    name = collection.name
    if collection_settings(name).candidates_file is not None:
        documents = {document.id: document for document in collection.documents}
        vectors: dict[str, np.ndarray] = {}

        def given(query: str, question: str) -> Mapping[str, list[Candidate]]:
            run = collection.runs[query][:depth]
            texts = [searchable(documents[i].title, documents[i].text) for i, _ in run]
            rows = embedder.encode([question, *texts])
            vectors.update(zip((documents[i].key for i, _ in run), rows[1:], strict=True))
            cosines = (rows[1:] @ rows[0]).tolist()
            found = zip(run, cosines, strict=True)
            return {"given": [Candidate(documents[i], bm25=b, vector=c) for (i, b), c in found]}

        def look_up(passages: Sequence[Document]) -> Mapping[str, np.ndarray]:
            return {p.key: vectors[p.key] for p in passages}

        yield Reranker(), given, look_up
        return
    with open_index(collection, embedder, CACHE / f"{name}-{key}") as index:

        def search(_: str, question: str) -> Mapping[str, list[Candidate]]:
            return {
                mode: index.retriever.search(question, mode=mode, candidates=depth).candidates
                for mode in ("bm25", "hybrid")
            }

        yield index.reranker(), search, index.retriever.embeddings


def measure(
    collection: Collection,
    reranker: BaseReranker,
    find: Find,
    vectors: VectorLookup,
    weights: Sequence[float],
) -> dict[str, np.ndarray]:
    """Return nDCG@10 by first stage: [1 + weights, queries], without neighbors first."""
    cached = Cached(reranker)
    blends = [Blend(cached)] + [
        Blend(cached, {**DEFAULT_WEIGHTS, "neighbors": weight}, vectors=vectors)
        for weight in weights
    ]
    ranked: dict[str, list[dict[str, list[str]]]] = {}
    with progress_bar(f"{collection.name}: questions", len(collection.queries)) as advance:
        for query, question in collection.queries.items():
            for stage, candidates in find(query, question).items():
                runs = ranked.setdefault(stage, [{} for _ in blends])
                for blend, run in zip(blends, runs, strict=True):
                    results = blend.rerank(question, candidates).results
                    # A document counts where its best passage is.
                    ids = dict.fromkeys(str(r.document.document_id) for r in results)
                    run[query] = list(ids)
            advance(1)
    judgments = {query: collection.qrels[query] for query in collection.queries}
    return {
        stage: np.array([ranked_values(run, judgments, [MEASURE])[MEASURE] for run in runs])
        for stage, runs in ranked.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="*", default=list(SUITE), metavar="NAME")
    parser.add_argument("--weight", nargs="+", type=float, default=[0.4], metavar="W")
    parser.add_argument("--queries", type=int, metavar="N", help="the first N of each")
    parser.add_argument("--candidates", type=int, default=100, metavar="N")
    parser.add_argument("--threads", type=int, help="threads of the embedder")
    arguments = parser.parse_args()
    if absent := missing(arguments.collections):
        console.print(f"Not found: {', '.join(absent)}")
        return 2
    embedder = Embedder(threads=arguments.threads)
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, CACHE / "embedders.json")
    columns = " | ".join(f"{w:g}" for w in arguments.weight)
    print(f"| collection | candidates | queries | without | {columns} |")
    print("|---" * (4 + len(arguments.weight)) + "|")
    for name in arguments.collections:
        settings = collection_settings(name)
        collection = load(name, arguments.queries, settings.candidates_file, settings.qrels)
        with first_stages(collection, embedder, key, arguments.candidates) as opened:
            for stage, values in measure(collection, *opened, arguments.weight).items():
                before = values[0]
                cells = [name, stage, str(len(before)), f"{before.mean():.4f}"]
                for after in values[1:]:
                    effect = estimate_effect(after - before)
                    change = f"{after.mean() - before.mean():+.4f}, p {effect.p:.3f}"
                    cells.append(f"{after.mean():.4f} ({change}, {effect.won}/{effect.lost})")
                print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
