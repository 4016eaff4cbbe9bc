"""Early exit of the bundled reranker: windows scored, time saved, and nDCG@10.

    python benchmarks/early_exit.py --collections scifact nfcorpus --queries 40

The candidates are those cached by `benchmarks/quality.py`; run that first. All document states
are in memory, and each question is reranked with and without early exit in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from beir import ROOT, Collection, load
from harness.suite import collection_settings

from secondpass import Candidate, RankedDocument, Reranker
from secondpass.policies import Blend
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.store import StateStore

CACHE = ROOT / ".cache" / "quality"


def ndcg(results: tuple[RankedDocument, ...], grades: dict[str, int]) -> float:
    import ir_measures
    from ir_measures import nDCG

    run = {"q": {str(r.id): float(-r.rank) for r in results}}
    return float(ir_measures.calc_aggregate([nDCG @ 10], {"q": grades}, run)[nDCG @ 10])


def candidates(collection: Collection, folder: Path) -> dict[str, list[Candidate]]:
    """Return the cached candidates of the hybrid first stage for each question."""
    (file,) = folder.glob(f"{collection.name}-*-100.jsonl")
    documents = {document.id: document for document in collection.documents}
    candidates_by_query: dict[str, list[Candidate]] = {}
    for line in file.read_text("utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            candidates_by_query[row["query"]] = [
                Candidate(documents[name], bm25=bm25, vector=vector)
                for name, bm25, vector in row["found"]["hybrid"]
            ]
    return candidates_by_query


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=["scifact", "nfcorpus"])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    whole = Reranker("bundled", threads=arguments.threads)
    early = Reranker("bundled", threads=arguments.threads, early_exit=True)
    reader = whole.backend
    print("| collection | windows read | time | reader alone | change | blend | change |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.collections:
        settings = collection_settings(name)
        collection = load(name, arguments.queries, settings.candidates_file, settings.qrels)
        candidates_by_query = candidates(collection, arguments.cache)
        file = arguments.cache / f"states-{reader.states_digest[:16]}-{name}.sqlite"
        store = StateStore(
            file,
            digest=reader.states_digest,
            codes=reader.codes,
            dimension=reader.encoder.dimension,
        )
        variants = {
            (exits, blend): use_store(Blend(reranker), store)
            if blend
            else use_store(reranker, store)
            for exits, reranker in ((False, whole), (True, early))
            for blend in (False, True)
        }
        values: dict[tuple[bool, bool], list[float]] = {variant: [] for variant in variants}
        times: dict[tuple[bool, bool], list[float]] = {variant: [] for variant in variants}
        pairs: dict[tuple[bool, bool], list[int]] = {variant: [] for variant in variants}
        for query, question in collection.queries.items():
            early.backend.cache = whole.backend.cache
            variants[False, False].rerank(question, candidates_by_query[query])
            for variant, reranker in variants.items():
                started = time.perf_counter()
                response = reranker.rerank(
                    question, candidates_by_query[query], top_k=arguments.top
                )
                times[variant].append(time.perf_counter() - started)
                values[variant].append(ndcg(response.results, collection.qrels[query]))
                pairs[variant].append(response.usage.pairs)
        store.close()
        mean = {
            variant: statistics.mean(variant_values)
            for variant, variant_values in values.items()
        }
        share = sum(pairs[True, False]) / sum(pairs[False, False])
        quick = sum(times[True, False]) / sum(times[False, False])
        print(
            f"| {name} | {share:.2f} | {quick:.2f} "
            f"| {mean[False, False]:.4f} | {mean[True, False] - mean[False, False]:+.4f} "
            f"| {mean[False, True]:.4f} | {mean[True, True] - mean[False, True]:+.4f} |"
        )


if __name__ == "__main__":
    main()
