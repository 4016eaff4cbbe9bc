"""Rerankers on Pinecone Inference."""

from __future__ import annotations

from secondpass.remote.client import HttpRequest, HttpResponse, Sign
from secondpass.remote.endpoint import ApiKey
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    parse_amount,
    scores_by_index,
)
from secondpass.types import ScoreKind

API_VERSION = "2025-10"
"""The version of the API that these requests follow; it is sent with each."""


class Pinecone(Provider):
    """Pinecone, with models such as "pinecone-rerank-v0" and "bge-reranker-v2-m3".

    Long documents are truncated there. Documents of several fields are one text: most models
    read one field.

    Source: "Rerank results" in Pinecone's API reference, 2025-10.
    """

    name, title = "pinecone", "Pinecone"
    base_url = "https://api.pinecone.io"
    base_url_variables = ("PINECONE_CONTROLLER_HOST",)
    key_variables = ("PINECONE_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 100 documents, 200 for Cohere's model."""
        return Limits(documents=200 if model.startswith("cohere-") else 100)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1."""
        return ScoreKind.SIMILARITY

    def sign(self, key: ApiKey) -> Sign:
        """Return what names the key and the version of the API."""
        headers = {"api-key": key.reveal() or "", "x-pinecone-api-version": API_VERSION}
        return lambda method, url, content: headers

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores without the documents, truncated where the model ends."""
        body = {
            "model": batch.model,
            "query": batch.query,
            "documents": [{"text": text} for text in batch.documents],
            "rank_fields": ["text"],
            "return_documents": False,
            "top_n": len(batch.documents),
            "parameters": {"truncate": "END"},
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `data`, and the units in `usage`."""
        scores = scores_by_index(
            json_value(response.body, "data"), len(batch.documents), score="score", low=0
        )
        units = parse_amount(json_value(response.body, "usage", "rerank_units"))
        return BatchScores(scores, searches=units)
