"""Results of the tools: agents get them as JSON that follows these types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.explain import Explanation
from secondpass.explain.phrases import describe_counterfactual, describe_faithfulness, headline
from secondpass.server.http_errors import HttpError
from secondpass.server.result_fields import json_value, relevance_score, source_url
from secondpass.types import RankedDocument

# The code of JSON-RPC for errors of a server's own.
_SERVER_ERROR = -32000
MAX_IDENTIFIED_BYTES = 65_536
"""How long a request may be whose error has its id, in bytes."""


@dataclass
class Sentence:
    """A sentence that answers: [start, end) in code points of its text.

    `score` is the chance, 0 to 1, that it answers, if a sentence of this text does.
    """

    start: int
    end: int
    score: float
    text: str


@dataclass
class Passage:
    """A passage of an index; `score` is from 0 to 1.

    `document_id` is the id of its document and `chunk` its number there, 0 for a whole one.
    """

    id: str | None
    document_id: str | None
    chunk: int
    score: float
    text: str
    title: str | None
    source: str | None
    metadata: dict[str, Any]
    spans: list[Sentence]


@dataclass
class Found:
    """Passages for a query, best first.

    `status` says whether the second pass ordered them, and `reason` why not, or why there are
    fewer than asked for.
    """

    query: str
    status: str
    reason: str | None
    results: list[Passage]


@dataclass
class Placed:
    """A document by its position in the request's list, from 0; the score is from 0 to 1."""

    index: int
    relevance_score: float
    spans: list[Sentence]


@dataclass
class Reranked:
    """Documents in their new order, best first."""

    model: str | None
    results: list[Placed]


@dataclass
class Explained:
    """Why a document ranks where it does.

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


def write_passage(result: RankedDocument) -> Passage:
    """Return a search result as a passage."""
    document = result.document
    assert document is not None
    return Passage(
        id=result.id,
        document_id=result.document_id,
        chunk=result.chunk,
        score=min(1.0, max(0.0, relevance_score(result))),
        text=document.text,
        title=document.title,
        source=source_url(document.metadata),
        metadata=json_value(document.metadata),
        spans=write_spans(result, document.text),
    )


def write_spans(result: RankedDocument, text: str) -> list[Sentence]:
    """Return the sentences of a result that answer, with their text."""
    return [
        Sentence(s.start, s.end, s.probability, text[s.start : s.end]) for s in result.spans
    ]


def write_explanation(explanation: Explanation) -> Explained:
    """Return an explanation in words, with the numbers behind them."""
    ranks: Mapping[str, int | None] = {}
    changes: list[str] = []
    if explanation.places is not None:
        places = explanation.places
        ranks = {
            "candidates": places.candidates,
            "bm25": places.bm25,
            "vector": places.vector,
            "first_pass": places.first,
            "reranker": places.reranker,
            "final": places.final,
        }
        changes = [
            f"It {describe_counterfactual(change, places.final)}."
            for change in explanation.counterfactuals
        ]
    sentences = [headline(explanation)]
    if explanation.faithfulness is not None:
        sentences.append(describe_faithfulness(explanation.faithfulness))
    return Explained(
        query=explanation.query,
        id=explanation.document.id,
        title=explanation.document.title,
        summary=" ".join(sentences),
        score=explanation.final_score,
        probability=explanation.probability,
        places=dict(ranks),
        words={term.word: term.score for term in explanation.terms},
        parts=dict(explanation.parts),
        changes=changes,
        notes=list(explanation.notes),
    )


def error_body(error: HttpError, request_id: str, content: bytes = b"") -> dict[str, Any]:
    """Return the JSON-RPC error of a request.

    `content` is its body, for the id of JSON-RPC, which is null where the body was not read.
    """
    body = {"code": _SERVER_ERROR, "message": error.message}
    return {"jsonrpc": "2.0", "id": _rpc_id(content), "error": body}


def _rpc_id(content: bytes) -> str | int | None:
    """Return the id of a JSON-RPC request, None where it has none that can be used."""
    if len(content) > MAX_IDENTIFIED_BYTES:
        return None
    try:
        request = json.loads(content)
    except (ValueError, RecursionError):
        return None
    found = request.get("id") if isinstance(request, dict) else None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None
