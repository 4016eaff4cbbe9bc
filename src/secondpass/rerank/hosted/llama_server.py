"""llama.cpp's server, `llama-server --reranking`."""

from __future__ import annotations

from typing import Any

from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    parse_count,
    scores_by_index,
)
from secondpass.types import ScoreKind


class LlamaServer(Provider):
    """A self-hosted server with the model that it was started with.

    Its scores are on the scale of that model: logits of some, probabilities of others. Query
    and document must fit its physical batch (`--ubatch-size`, 512 tokens by default): longer
    ones are refused, unless `max_tokens_per_doc` cuts them.

    Source: the README of llama.cpp's server.
    """

    name, title = "llama-server", "llama-server"
    base_url_variables = ("LLAMA_SERVER_BASE_URL",)
    key_variables = ("LLAMA_SERVER_API_KEY",)
    key_required = False
    model_required = False

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents: the server has no limit."""
        return Limits(documents=1_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, as the scale depends on the model."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores; servers of several models take the model's name."""
        body: dict[str, Any] = {
            "query": batch.query,
            "documents": list(batch.documents),
            "top_n": len(batch.documents),
        }
        if batch.model:
            body["model"] = batch.model
        return HttpRequest("/v1/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results`, in any order, and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "results"), len(batch.documents), score="relevance_score"
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
