"""NVIDIA's self-hosted reranking containers (NIM)."""

from __future__ import annotations

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


class NIM(Provider):
    """A container of your own, with models such as "nvidia/llama-3.2-nv-rerankqa-1b-v2".

    The base URL has no path: "http://127.0.0.1:8000".

    Source: the API reference of the NeMo Retriever Text Reranking NIM.
    """

    name, title = "nim", "NVIDIA NIM"
    base_url_variables = ("NIM_BASE_URL",)
    key_variables = ("NIM_API_KEY",)
    key_required = False

    def limits(self, model: str) -> Limits:
        """Return 512 passages, the limit of a request."""
        return Limits(documents=512)

    def score_kind(self, model: str) -> ScoreKind:
        """Return logits."""
        return ScoreKind.LOGIT

    def path(self, model: str) -> str:
        """Return the path of the endpoint, below the base URL."""
        return "/v1/ranking"

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all logits, with passages truncated that are too long for the model."""
        body = {
            "model": batch.model,
            "query": {"text": batch.query},
            "passages": [{"text": text} for text in batch.documents],
            "truncate": "END",
        }
        return HttpRequest(self.path(batch.model), body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `rankings` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "rankings"), len(batch.documents), score="logit"
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
