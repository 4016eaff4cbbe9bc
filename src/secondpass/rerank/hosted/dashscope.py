"""Text rerankers on Alibaba Cloud's DashScope (Model Studio)."""

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
    parse_count,
    scores_by_index,
)
from secondpass.types import ScoreKind


class DashScope(Provider):
    """DashScope, with models such as "qwen3-rerank" and "gte-rerank-v2".

    The default base URL is that of the region Beijing. Other regions have their own, such as
    "https://dashscope-intl.aliyuncs.com/api/v1" for Singapore, and their own keys.

    Source: "Text rerank" in the documentation of Model Studio, 2026.
    """

    name, title = "dashscope", "DashScope"
    base_url = "https://dashscope.aliyuncs.com/api/v1"
    base_url_variables = ("DASHSCOPE_HTTP_BASE_URL",)
    key_variables = ("DASHSCOPE_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 500 documents, 4,000 tokens of each, and 120,000 or 30,000 tokens.

        A fifth is kept in reserve, because tokens are estimated.
        """
        total = 30_000 if model.startswith("gte-") else 120_000
        return Limits(
            documents=500,
            tokens=total * 4 // 5,
            tokens_per_document=4_000,
            characters=32_000,
        )

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1, comparable within one response only."""
        return ScoreKind.SIMILARITY

    def follows_instructions(self, model: str) -> bool:
        """Return True for the models of Qwen."""
        return model.startswith("qwen")

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores without the texts."""
        parameters: dict[str, Any] = {
            "return_documents": False,
            "top_n": len(batch.documents),
        }
        if batch.instructions is not None:
            parameters["instruct"] = clean(batch.instructions)
        body = {
            "model": batch.model,
            "input": {"query": batch.query, "documents": list(batch.documents)},
            "parameters": parameters,
        }
        return HttpRequest("/services/rerank/text-rerank/text-rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `output.results` and `usage`."""
        scores = scores_by_index(
            json_value(response.body, "output", "results"),
            len(batch.documents),
            score="relevance_score",
            low=0,
        )
        return BatchScores(
            scores, parse_count(json_value(response.body, "usage", "total_tokens"))
        )
