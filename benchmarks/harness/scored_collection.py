"""A collection with the scores of its candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beir import Collection

from harness.candidates import StageCandidates
from harness.evaluator import RankingEvaluator
from harness.pair_scores import PairScorer, gives_logits, logit_probabilities
from harness.suite import SETTINGS, CollectionSettings
from secondpass.evaluate.score_matrix import ScoreMatrix, Vectors, build_score_matrix


@dataclass(frozen=True)
class ScoredCollection:
    """A collection's evaluator, and its score matrices by setting.

    - `vector`: the ranked ids of vector search alone, by query; empty if the collection has a
      candidates file.
    - `pairs`: the number of pairs of question and document.
    """

    name: str
    collection_settings: CollectionSettings
    evaluator: RankingEvaluator
    pools: Mapping[str, ScoreMatrix]
    vector: Mapping[str, Sequence[str]]
    pairs: int


def score_collection(
    collection: Collection,
    collection_settings: CollectionSettings,
    candidates: Mapping[str, StageCandidates],
    scorer: PairScorer | None,
    vectors: Vectors | None = None,
) -> ScoredCollection:
    """Score the candidates of both settings; without a scorer there are no reranker scores.

    With `vectors` of the candidates, score matrices have a column of neighbors, if the
    model's scores are logits.
    """
    documents = {query: _distinct(stages) for query, stages in candidates.items()}
    scores = None if scorer is None else scorer.score(collection, documents)
    probabilities = None
    if scorer is not None and scores is not None and vectors and gives_logits(scorer.name):
        probabilities = logit_probabilities(scores)
    pools: dict[str, ScoreMatrix] = {}
    for setting in SETTINGS:
        if collection_settings.candidates_file is not None and pools:
            pools[setting] = next(iter(pools.values()))
            continue
        entries = {query: stages[setting] for query, stages in candidates.items()}
        pools[setting] = build_score_matrix(
            collection.queries,
            entries,
            scores,
            collection.qrels,
            probabilities=probabilities,
            vectors=vectors,
        )
    by_vector = {
        q: [e.id for e in stages["vector"]]
        for q, stages in candidates.items()
        if "vector" in stages
    }
    evaluator = RankingEvaluator(
        {query: collection.qrels[query] for query in collection.queries},
        relevant=collection_settings.relevant,
    )
    pairs = sum(len(names) for names in documents.values())
    return ScoredCollection(
        collection.name, collection_settings, evaluator, pools, by_vector, pairs
    )


def _distinct(stages: StageCandidates) -> list[str]:
    ids: Iterable[str] = (e.id for setting in SETTINGS for e in stages[setting])
    return list(dict.fromkeys(ids))
