"""The collections of the quality benchmark, and how each is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SETTINGS: Mapping[str, str] = {"bm25": "BM25", "hybrid": "hybrid (RRF)"}
"""The first stages that are reranked."""


@dataclass(frozen=True)
class CollectionSettings:
    """How one collection is read.

    - `qrels`: the file of its judgments; `relevant`: the lowest grade that recall counts.
    - `candidates_file`: a run that stands for the first stage in every setting, where there is
      no corpus to search.
    - `in_domain`: whether the reranker was trained on questions of the same kind.
    """

    qrels: str = "test.tsv"
    candidates_file: str | None = None
    relevant: int = 1
    in_domain: bool = False


SUITE: Mapping[str, CollectionSettings] = {
    "scifact": CollectionSettings(),
    "nfcorpus": CollectionSettings(),
    "cranfield": CollectionSettings(),
    "cisi": CollectionSettings(),
    "squad-dev": CollectionSettings(qrels="test_1000.tsv", in_domain=True),
    "trec-dl19-rerank": CollectionSettings(candidates_file="BM25.trec", relevant=2),
}


def collection_settings(name: str) -> CollectionSettings:
    """Return how a collection is read; by the defaults, if it is not in the suite."""
    return SUITE.get(name, CollectionSettings(in_domain=name == "sample"))
