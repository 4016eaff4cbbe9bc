"""Rerankers on Cloudflare Workers AI."""

from __future__ import annotations

import os

from secondpass.errors import InputError
from secondpass.rerank.hosted.provider import (
    Call,
    Limits,
    Parsed,
    Provider,
    Reply,
    Request,
    count_of,
    member,
    message_of,
    scores_by_index,
)
from secondpass.types import ScoreKind


class Cloudflare(Provider):
    """Workers AI, with models such as "@cf/baai/bge-reranker-base" (512 tokens).

    `account` is the account's id, from CLOUDFLARE_ACCOUNT_ID if it is not given.
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
        """Return 100 documents, no limit being documented, of what the model reads."""
        return Limits(documents=100, characters=10_000)

    def kind(self, model: str) -> ScoreKind:
        """Return a closeness: the activation behind the scores is not documented."""
        return ScoreKind.SIMILARITY

    def request(self, call: Call) -> Request:
        """Ask for all scores: unless it is told, a model may return fewer."""
        body = {
            "query": call.query,
            "contexts": [{"text": text} for text in call.documents],
            "top_k": len(call.documents),
        }
        return Request(f"/accounts/{self.account}/ai/run/{call.model}", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read `result.response`, whose `id` is the position, out of the envelope."""
        if member(reply.body, "success") is False:
            raise ValueError(f"it says that it failed, “{message_of(reply.body)}”")
        rows = member(reply.body, "result", "response")
        scores = scores_by_index(rows, len(call.documents), score="score", index="id")
        tokens = count_of(member(reply.body, "result", "usage", "total_tokens"))
        return Parsed(scores, tokens)
