"""What exits of a reader save and what they cost: windows read, nDCG@10, time.

    python benchmarks/exits.py --collections scifact nfcorpus --queries 40

The candidates are those that `benchmarks/quality.py` found; run that first. Every document's
records are in memory, and each question is answered with and without exits in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from beir import ROOT, Collection, load
from measuring.suite import member

from secondpass import Blend, Candidate, RankedDocument, Reranker
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.store import StateStore

CACHE = ROOT / ".cache" / "quality"


def ndcg(results: tuple[RankedDocument, ...], grades: dict[str, int]) -> float:
    import ir_measures
    from ir_measures import nDCG

    run = {"q": {str(r.id): float(-r.rank) for r in results}}
    return float(ir_measures.calc_aggregate([nDCG @ 10], {"q": grades}, run)[nDCG @ 10])


def candidates(collection: Collection, folder: Path) -> dict[str, list[Candidate]]:
    """Return what the hybrid first stage found of each question."""
    (file,) = folder.glob(f"{collection.name}-*-100.jsonl")
    documents = {document.id: document for document in collection.documents}
    found: dict[str, list[Candidate]] = {}
    for line in file.read_text("utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            found[row["query"]] = [
                Candidate(documents[name], bm25=bm25, vector=vector)
                for name, bm25, vector in row["found"]["hybrid"]
            ]
    return found


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
        how = member(name)
        collection = load(name, arguments.queries, how.given, how.qrels)
        found = candidates(collection, arguments.cache)
        file = arguments.cache / f"states-{reader.states_digest[:16]}-{name}.sqlite"
        store = StateStore(
            file,
            digest=reader.states_digest,
            codes=reader.codes,
            dimension=reader.encoder.dimension,
        )
        ways = {
            (exits, blend): use_store(Blend(one) if blend else one, store)
            for exits, one in ((False, whole), (True, early))
            for blend in (False, True)
        }
        values: dict[tuple[bool, bool], list[float]] = {way: [] for way in ways}
        times: dict[tuple[bool, bool], list[float]] = {way: [] for way in ways}
        pairs: dict[tuple[bool, bool], list[int]] = {way: [] for way in ways}
        for query, question in collection.queries.items():
            early.backend.cache = whole.backend.cache
            ways[False, False].rerank(question, found[query])
            for way, one in ways.items():
                started = time.perf_counter()
                response = one.rerank(question, found[query], top_k=arguments.top)
                times[way].append(time.perf_counter() - started)
                values[way].append(ndcg(response.results, collection.qrels[query]))
                pairs[way].append(response.usage.pairs)
        store.close()
        mean = {way: statistics.mean(found) for way, found in values.items()}
        share = sum(pairs[True, False]) / sum(pairs[False, False])
        quick = sum(times[True, False]) / sum(times[False, False])
        print(
            f"| {name} | {share:.2f} | {quick:.2f} "
            f"| {mean[False, False]:.4f} | {mean[True, False] - mean[False, False]:+.4f} "
            f"| {mean[False, True]:.4f} | {mean[True, True] - mean[False, True]:+.4f} |"
        )


if __name__ == "__main__":
    main()
