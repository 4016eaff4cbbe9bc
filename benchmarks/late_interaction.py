"""Late interaction over stored states: alone, blended, and as a middle stage.

    python benchmarks/quality.py --collections scifact nfcorpus     # once: candidates, scores
    python benchmarks/late_interaction.py --queries 100

Uses the cache of benchmarks/quality.py in .cache/quality (candidates of hybrid search, scores
and states of the bundled reranker), so that only queries are encoded. Prints nDCG@10.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
from beir import ROOT, load
from harness.candidates import cached_candidates
from harness.embedder_key import embedder_key
from harness.pair_scores import PairScoreCache, PairScorer
from harness.suite import collection_settings

from secondpass import Candidate, Embedder
from secondpass.evaluate.blend_weights import standardize_columns
from secondpass.evaluate.score_matrix import FloatArray, ScoreMatrix, build_score_matrix, ndcg
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
SHORTLISTS = (10, 20, 30)
WEIGHT = 0.6


def first_stages() -> None:
    raise SystemExit("The cache is incomplete: run benchmarks/quality.py first.")


def late_scores(
    name: str, questions: Mapping[str, str], ids: Mapping[str, list[str]]
) -> dict[str, dict[str, float]]:
    """Return the score of each document id of each question."""
    reader = load_reranker("bundled")
    assert isinstance(reader, PrecomputedReranker)
    digest = reader.states_digest
    file = CACHE / f"states-{digest[:16]}-{name}.sqlite"
    store = StateStore(
        file, digest=digest, codes=reader.codes, dimension=reader.encoder.dimension
    )
    late_interaction = use_store(PrecomputedMaxSim(reader), store)
    documents = {
        d.id: d for d in load(name, None, None, collection_settings(name).qrels).documents
    }
    scores = {}
    for query, names in ids.items():
        candidates = [Candidate(documents[n]) for n in names]
        scored = late_interaction.score(questions[query], candidates, ScoringOptions())
        scores[query] = {n: s.value for n, s in zip(names, scored.scores, strict=True)}
    store.close()
    return scores


def within_best(
    matrix: ScoreMatrix, first: FloatArray, then: FloatArray, shortlist: int
) -> FloatArray:
    """Return scores that put the best `shortlist` of `first` on top, in the order of `then`."""
    masked = np.where(matrix.mask, -first, np.inf)
    ranks = np.argsort(np.argsort(masked, axis=1, kind="stable"), axis=1)
    return np.where(ranks < shortlist, then + 1000, first)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=["scifact", "nfcorpus"])
    parser.add_argument("--queries", type=int, default=100, metavar="N")
    arguments = parser.parse_args()
    embedder = Embedder()
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, CACHE / "embedders.json")
    scorer = PairScorer("bundled", PairScoreCache(CACHE / "scores.sqlite"), states=CACHE)
    for name in arguments.collections:
        collection = load(name, arguments.queries, None, collection_settings(name).qrels)
        candidates = cached_candidates(
            collection, CACHE / f"{name}-{key}-{DEPTH}.jsonl", first_stages
        )  # type: ignore[arg-type]
        entries = {query: stages["hybrid"] for query, stages in candidates.items()}
        ids = {query: [e.id for e in stage_entries] for query, stage_entries in entries.items()}
        late_interaction = late_scores(name, collection.queries, ids)
        reranker_matrix = build_score_matrix(
            collection.queries, entries, scorer.score(collection, ids), collection.qrels
        )
        late_matrix = build_score_matrix(
            collection.queries, entries, late_interaction, collection.qrels
        )
        z, maxsim = (
            standardize_columns(reranker_matrix),
            standardize_columns(late_matrix)["rerank"],
        )
        first = DEFAULT_WEIGHTS["vector"] * z["vector"] + DEFAULT_WEIGHTS["bm25"] * z["bm25"]
        blend = first + DEFAULT_WEIGHTS["rerank"] * z["rerank"]
        middle = first + WEIGHT * maxsim
        rows = {
            "first stage, fused": first,
            "MaxSim alone": maxsim,
            "MaxSim, blended": middle,
            "reranker alone": z["rerank"],
            f"reranker on all {DEPTH}, blended": blend,
        }
        for shortlist in SHORTLISTS:
            rows[f"reranker on {shortlist} of the first stage"] = within_best(
                reranker_matrix, first, blend, shortlist
            )
            rows[f"reranker on {shortlist} of MaxSim"] = within_best(
                reranker_matrix, middle, blend, shortlist
            )
        print(f"\n{name}, {len(ids)} questions")
        for label, scores in rows.items():
            print(f"  {label:34} {ndcg(reranker_matrix, scores).mean():.4f}")


if __name__ == "__main__":
    main()
