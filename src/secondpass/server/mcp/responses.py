"""What the tools return: agents get it as JSON that follows these types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.explain import Explanation
from secondpass.explain.phrases import headline, trust, what_if
from secondpass.server.result_fields import json_value, relevance_score, source_url
from secondpass.types import RankedDocument


@dataclass
class Passage:
    """A passage that was found; `score` is from 0 to 1."""

    id: str | None
    score: float
    text: str
    title: str | None
    source: str | None
    metadata: dict[str, Any]


@dataclass
class Found:
    """Passages for a query, best first; `status` says whether the second pass ordered them."""

    query: str
    status: str
    results: list[Passage]


@dataclass
class Placed:
    """A document by its place in the list that was given, from 0; the score is from 0 to 1."""

    index: int
    relevance_score: float


@dataclass
class Reranked:
    """Documents in their new order, best first."""

    model: str | None
    results: list[Placed]


@dataclass
class Explained:
    """Why a document is where it is.

    `places` has its rank by each stage, `words` what each word of the query adds to its
    BM25, `parts` what each stage adds to its score.
    """

    query: str
    id: str | None
    title: str | None
    summary: str
    score: float
    probability: float | None
    places: dict[str, int | None]
    words: dict[str, float]
    parts: dict[str, float]
    changes: list[str]
    notes: list[str]


def passage(result: RankedDocument) -> Passage:
    """Return a result of a search."""
    document = result.document
    assert document is not None
    return Passage(
        id=result.id,
        score=min(1.0, max(0.0, relevance_score(result))),
        text=document.text,
        title=document.title,
        source=source_url(document.metadata),
        metadata=json_value(document.metadata),
    )


def explained(one: Explanation) -> Explained:
    """Return an explanation in words and in the numbers that they are made of."""
    places: Mapping[str, int | None] = {}
    changes: list[str] = []
    if one.places is not None:
        p = one.places
        places = {
            "candidates": p.candidates,
            "bm25": p.bm25,
            "vector": p.vector,
            "first_pass": p.first,
            "reranker": p.reranker,
            "final": p.final,
        }
        changes = [f"It {what_if(change, p.final)}." for change in one.counterfactuals]
    said = [headline(one), *([] if one.faithfulness is None else [trust(one.faithfulness)])]
    return Explained(
        query=one.query,
        id=one.document.id,
        title=one.document.title,
        summary=" ".join(said),
        score=one.final_score,
        probability=one.probability,
        places=dict(places),
        words={term.word: term.score for term in one.terms},
        parts=dict(one.parts),
        changes=changes,
        notes=list(one.notes),
    )
