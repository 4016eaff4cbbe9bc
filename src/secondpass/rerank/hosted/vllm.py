"""vLLM, a self-hosted server."""

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


class VLLM(Provider):
    """A self-hosted server; the model's name is that of its `--served-model-name`."""

    name, title = "vllm", "vLLM"
    base_url_variables = ("VLLM_BASE_URL",)
    key_variables = ("VLLM_API_KEY",)
    key_required = False
    supports_max_length = True

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents: the server has no limit, but its responses repeat texts."""
        return Limits(documents=1_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return probabilities: the server applies the model's activation."""
        return ScoreKind.PROBABILITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores; -1 truncates at the model's own limit instead of failing."""
        length = -1 if batch.max_length is None else batch.max_length
        body: dict[str, Any] = {
            "model": batch.model,
            "query": batch.query,
            "documents": list(batch.documents),
            "truncate_prompt_tokens": length,
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "results"),
            len(batch.documents),
            score="relevance_score",
            low=0,
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
