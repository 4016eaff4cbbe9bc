"""The collections that are measured, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SETTINGS: Mapping[str, str] = {"bm25": "BM25", "hybrid": "hybrid (RRF)"}
"""The first stages that are reranked."""


@dataclass(frozen=True)
class Member:
    """How one collection is read.

    - `qrels`: the file of its judgements; `relevant`: the lowest grade that recall counts.
    - `given`: the file of its candidates where there is no corpus to search; they stand
      for the first stage in every setting.
    - `familiar`: whether the reranker was trained on questions of the same kind.
    """

    qrels: str = "test.tsv"
    given: str | None = None
    relevant: int = 1
    familiar: bool = False


SUITE: Mapping[str, Member] = {
    "scifact": Member(),
    "nfcorpus": Member(),
    "cranfield": Member(),
    "cisi": Member(),
    "squad-dev": Member(qrels="test_1000.tsv", familiar=True),
    "trec-dl19-rerank": Member(given="BM25.trec", relevant=2),
}


def member(name: str) -> Member:
    """Return how a collection is read; one that is not of the suite, by the defaults."""
    return SUITE.get(name, Member(familiar=name == "sample"))
