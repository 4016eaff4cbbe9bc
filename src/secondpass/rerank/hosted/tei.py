"""Hugging Face Text Embeddings Inference (TEI), a self-hosted server."""

from __future__ import annotations

from typing import Any

from secondpass.errors import ModelError, ProviderError
from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    Send,
    json_value,
    parse_count,
    scores_by_index,
)
from secondpass.types import ScoreKind

MAX_REQUEST_BYTES = 2_000_000
"""The default of the server."""


class TEI(Provider):
    """A self-hosted server, version 1.9, with the model that it was started with.

    `raw_scores` requests logits, which do not saturate; False requests probabilities, of the
    server's 32-bit sigmoid.
    """

    name, title = "tei", "TEI"
    base_url_variables = ("TEI_BASE_URL",)
    key_variables = ("TEI_API_KEY",)
    key_required = False
    model_required = False

    def __init__(self, *, raw_scores: bool = True) -> None:
        self.raw_scores = raw_scores

    def limits(self, model: str) -> Limits:
        """Return 32 documents, the server's default."""
        # An escaped character takes six bytes.
        return Limits(documents=32, bytes=MAX_REQUEST_BYTES // 8, characters=40_000)

    async def fetch_limits(self, model: str, send: Send) -> Limits:
        """Return the limits in `/info`, or the defaults where a proxy hides it."""
        try:
            response = await send(HttpRequest("/info", None, "GET"))
        except ProviderError as error:
            if error.status in (403, 404, 405):
                return self.limits(model)
            raise
        kind = json_value(response.body, "model_type")
        if isinstance(kind, dict) and "reranker" not in kind:
            raise ModelError(
                "The TEI server does not serve a reranker",
                why=f"its model {json_value(response.body, 'model_id')} is a {'/'.join(kind)}",
                fix="Start it with a cross-encoder of one output.",
            )
        max_batch = parse_count(json_value(response.body, "max_client_batch_size"))
        default = self.limits(model)
        return Limits(
            max_batch if max_batch else 32, bytes=default.bytes, characters=default.characters
        )

    def score_kind(self, model: str) -> ScoreKind:
        """Return logits, or probabilities without `raw_scores`."""
        return ScoreKind.LOGIT if self.raw_scores else ScoreKind.PROBABILITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores, with texts truncated that are too long for the model."""
        body: dict[str, Any] = {
            "query": batch.query,
            "texts": list(batch.documents),
            "truncate": True,
            "raw_scores": self.raw_scores,
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read the list of scores; the number of tokens is in a header."""
        low = float("-inf") if self.raw_scores else 0
        scores = scores_by_index(response.body, len(batch.documents), score="score", low=low)
        tokens = response.headers.get("x-compute-tokens", "")
        return BatchScores(
            scores, int(tokens) if tokens.isascii() and tokens.isdigit() else None
        )
