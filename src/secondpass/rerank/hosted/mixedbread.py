"""Mixedbread reranking."""

from __future__ import annotations

from typing import Any

from secondpass.rerank.hosted.provider import (
    Call,
    Limits,
    Parsed,
    Provider,
    Reply,
    Request,
    count_of,
    member,
    scores_by_index,
)
from secondpass.types import ScoreKind


class Mixedbread(Provider):
    """Mixedbread, or a server that speaks its dialect; reads documents of several fields."""

    name, title = "mixedbread", "Mixedbread"
    base_url = "https://api.mixedbread.com"
    base_url_variables = ("MIXEDBREAD_BASE_URL",)
    key_variables = ("MXBAI_API_KEY",)
    structure = "fields"

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents: none is documented."""
        return Limits(documents=1_000)

    def kind(self, model: str) -> ScoreKind:
        """Return a closeness."""
        return ScoreKind.SIMILARITY

    def request(self, call: Call) -> Request:
        """Ask for all scores: unless it is told, the service returns the best ten."""
        body: dict[str, Any] = {
            "model": call.model if "/" in call.model else f"mixedbread-ai/{call.model}",
            "query": call.query,
            "input": list(call.documents),
            "top_k": len(call.documents),
            "return_input": False,
        }
        if call.fields:
            body["rank_fields"] = list(call.fields)
        return Request("/v1/reranking", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read `data` and `usage`."""
        scores = scores_by_index(member(reply.body, "data"), len(call.documents), score="score")
        return Parsed(scores, count_of(member(reply.body, "usage", "total_tokens")))
