"""Rerankers on Cloudflare Workers AI."""

from __future__ import annotations

import os

from secondpass.errors import InputError
from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    error_message,
    json_value,
    parse_count,
    scores_by_index,
)
from secondpass.types import ScoreKind


class Cloudflare(Provider):
    """Workers AI, with models such as "@cf/baai/bge-reranker-base" (512 tokens).

    `account` is the account's id, by default from CLOUDFLARE_ACCOUNT_ID.
    """

    name, title = "cloudflare", "Cloudflare"
    base_url = "https://api.cloudflare.com/client/v4"
    base_url_variables = ("CLOUDFLARE_BASE_URL",)
    key_variables = ("CLOUDFLARE_API_TOKEN",)

    def __init__(self, *, account: str | None = None) -> None:
        if account is None:
            account = os.environ.get("CLOUDFLARE_ACCOUNT_ID", "")
        self.account = account.strip()
        if not self.account.isascii() or not self.account.isalnum():
            raise InputError(
                "Cloudflare needs the id of an account, of letters and digits",
                fix="Set CLOUDFLARE_ACCOUNT_ID, or pass provider=Cloudflare(account=…).",
            )

    def limits(self, model: str) -> Limits:
        """Return 100 documents, as no limit is documented, of the length that models read."""
        return Limits(documents=100, characters=10_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity: the activation behind the scores is not documented."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores: by default a model may return fewer."""
        body = {
            "query": batch.query,
            "contexts": [{"text": text} for text in batch.documents],
            "top_k": len(batch.documents),
        }
        return HttpRequest(f"/accounts/{self.account}/ai/run/{batch.model}", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `result.response`, whose `id` is the position."""
        if json_value(response.body, "success") is False:
            raise ValueError(f"it reports a failure, “{error_message(response.body)}”")
        rows = json_value(response.body, "result", "response")
        scores = scores_by_index(rows, len(batch.documents), score="score", index="id")
        tokens = parse_count(json_value(response.body, "result", "usage", "total_tokens"))
        return BatchScores(scores, tokens)
