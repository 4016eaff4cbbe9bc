"""One collection, read and scored: all that measuring needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beir import Collection

from measuring.candidates import Found
from measuring.judging import Judge
from measuring.pairs import Scorer
from measuring.suite import SETTINGS, Member
from secondpass.evaluate.score_matrix import ScoreMatrix, build_score_matrix


@dataclass(frozen=True)
class Subject:
    """A collection's judge, and its pools by setting.

    - `vector`: the ranked ids of vector search alone, by query; empty where candidates
      are given.
    - `pairs`: how many pairs of question and document its pools hold.
    """

    name: str
    member: Member
    judge: Judge
    pools: Mapping[str, ScoreMatrix]
    vector: Mapping[str, Sequence[str]]
    pairs: int


def subject(
    collection: Collection, member: Member, found: Mapping[str, Found], scorer: Scorer | None
) -> Subject:
    """Score the candidates of both settings; without a scorer there is no reranker."""
    wanted = {query: _distinct(stages) for query, stages in found.items()}
    scores = None if scorer is None else scorer.score(collection, wanted)
    pools: dict[str, ScoreMatrix] = {}
    for setting in SETTINGS:
        if member.given is not None and pools:
            pools[setting] = next(iter(pools.values()))
            continue
        entries = {query: stages[setting] for query, stages in found.items()}
        pools[setting] = build_score_matrix(
            collection.queries, entries, scores, collection.qrels
        )
    by_vector = {
        q: [e.id for e in stages["vector"]] for q, stages in found.items() if "vector" in stages
    }
    judge = Judge(
        {query: collection.qrels[query] for query in collection.queries},
        relevant=member.relevant,
    )
    pairs = sum(len(names) for names in wanted.values())
    return Subject(collection.name, member, judge, pools, by_vector, pairs)


def _distinct(stages: Found) -> list[str]:
    every: Iterable[str] = (e.id for setting in SETTINGS for e in stages[setting])
    return list(dict.fromkeys(every))
