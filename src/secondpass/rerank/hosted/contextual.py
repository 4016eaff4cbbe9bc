"""Contextual AI's instruction-following rerankers."""

from __future__ import annotations

from typing import Any

from secondpass.inference.unicode import clean
from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    scores_by_index,
)
from secondpass.types import ScoreKind

MAX_TOKENS = 400_000
"""Of a request; of query, instruction and one document together at most 8,000."""


class Contextual(Provider):
    """Contextual AI, with models such as "ctxl-rerank-v2-instruct-multilingual".

    Documents are cut here, since longer ones are refused there.

    Source: "Rerank" in Contextual AI's API reference.
    """

    name, title = "contextual", "Contextual AI"
    base_url = "https://api.contextual.ai/v1"
    base_url_variables = ("CONTEXTUAL_AI_BASE_URL",)
    key_variables = ("CONTEXTUAL_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 400,000 tokens and 8,000 a document, with a fifth in reserve.

        As tokens are estimated; no limit of documents is published.
        """
        return Limits(
            documents=1_000,
            tokens=MAX_TOKENS * 4 // 5,
            tokens_per_document=8_000,
            characters=20_000,
        )

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1."""
        return ScoreKind.SIMILARITY

    def follows_instructions(self, model: str) -> bool:
        """Return True: every model does."""
        return True

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores, with the instructions in a field of their own."""
        body: dict[str, Any] = {
            "model": batch.model,
            "query": batch.query,
            "documents": list(batch.documents),
            "top_n": len(batch.documents),
        }
        if batch.instructions is not None:
            body["instruction"] = clean(batch.instructions)
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results`; tokens are not told."""
        return BatchScores(
            scores_by_index(
                json_value(response.body, "results"),
                len(batch.documents),
                score="relevance_score",
                low=0,
            )
        )
