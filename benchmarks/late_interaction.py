"""What late interaction over kept states is worth: alone, blended, and as a middle stage.

    python benchmarks/quality.py --collections scifact nfcorpus     # once: candidates, scores
    python benchmarks/late_interaction.py --queries 100

Reads what benchmarks/quality.py has kept in .cache/quality (candidates of hybrid search, the
reader's scores and its records), so that only queries are encoded. nDCG@10.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
from beir import ROOT, load
from measuring.candidates import gather
from measuring.embedders import known_as
from measuring.pairs import PairScores, Scorer
from measuring.suite import member

from secondpass import Candidate, Embedder
from secondpass.evaluate.score_matrix import Matrix, ScoreMatrix, ndcg, pool
from secondpass.evaluate.variants import standardised
from secondpass.models import bundled_path
from secondpass.registry import load_reranker
from secondpass.rerank.late_interaction import PrecomputedMaxSim
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.model import use_store
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.scoring_options import ScoringOptions

CACHE = ROOT / ".cache" / "quality"
DEPTH = 100
KEEP = (10, 20, 30)
WEIGHT = 0.6


def first_stages() -> None:
    raise SystemExit("Run benchmarks/quality.py first: it keeps what this reads.")


def late_scores(
    name: str, questions: Mapping[str, str], wanted: Mapping[str, list[str]]
) -> dict[str, dict[str, float]]:
    """Return the score of each wanted document of each question."""
    reader = load_reranker("bundled")
    assert isinstance(reader, PrecomputedReranker)
    digest = reader.states_digest
    file = CACHE / f"states-{digest[:16]}-{name}.sqlite"
    store = StateStore(
        file, digest=digest, codes=reader.codes, dimension=reader.encoder.dimension
    )
    late = use_store(PrecomputedMaxSim(reader), store)
    documents = {d.id: d for d in load(name, None, None, member(name).qrels).documents}
    scores = {}
    for query, names in wanted.items():
        candidates = [Candidate(documents[n]) for n in names]
        found = late.score(questions[query], candidates, ScoringOptions())
        scores[query] = {n: s.value for n, s in zip(names, found.scores, strict=True)}
    store.close()
    return scores


def within_best(there: ScoreMatrix, first: Matrix, then: Matrix, keep: int) -> Matrix:
    """Return scores that put the best `keep` of `first` on top, in the order of `then`."""
    masked = np.where(there.there, -first, np.inf)
    places = np.argsort(np.argsort(masked, axis=1, kind="stable"), axis=1)
    return np.where(places < keep, then + 1000, first)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=["scifact", "nfcorpus"])
    parser.add_argument("--queries", type=int, default=100, metavar="N")
    arguments = parser.parse_args()
    embedder = Embedder()
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = known_as(embedder, tokenizer, CACHE / "embedders.json")
    scorer = Scorer("bundled", PairScores(CACHE / "scores.sqlite"), states=CACHE)
    for name in arguments.collections:
        collection = load(name, arguments.queries, None, member(name).qrels)
        found = gather(collection, CACHE / f"{name}-{key}-{DEPTH}.jsonl", first_stages)  # type: ignore[arg-type]
        entries = {query: stages["hybrid"] for query, stages in found.items()}
        wanted = {query: [e.id for e in some] for query, some in entries.items()}
        late = late_scores(name, collection.queries, wanted)
        readers = pool(
            collection.queries, entries, scorer.score(collection, wanted), collection.qrels
        )
        lates = pool(collection.queries, entries, late, collection.qrels)
        z, own = standardised(readers), standardised(lates)["rerank"]
        first = DEFAULT_WEIGHTS["vector"] * z["vector"] + DEFAULT_WEIGHTS["bm25"] * z["bm25"]
        blend = first + DEFAULT_WEIGHTS["rerank"] * z["rerank"]
        middle = first + WEIGHT * own
        rows = {
            "first stage, fused": first,
            "MaxSim alone": own,
            "MaxSim, blended": middle,
            "reader alone": z["rerank"],
            f"reader on all {DEPTH}, blended": blend,
        }
        for keep in KEEP:
            rows[f"reader on {keep} of the first stage"] = within_best(
                readers, first, blend, keep
            )
            rows[f"reader on {keep} of MaxSim"] = within_best(readers, middle, blend, keep)
        print(f"\n{name}, {len(wanted)} questions")
        for label, scores in rows.items():
            print(f"  {label:34} {ndcg(readers, scores).mean():.4f}")


if __name__ == "__main__":
    main()
