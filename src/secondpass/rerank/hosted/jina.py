"""Jina Reranker."""

from __future__ import annotations

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


class Jina(Provider):
    """Jina, or a server that speaks its dialect.

    From version 3 on its models read all documents of a request together, so that their
    scores order one response and mean nothing beyond it.
    """

    name, title = "jina", "Jina"
    base_url = "https://api.jina.ai/v1"
    base_url_variables = ("JINA_BASE_URL",)
    key_variables = ("JINA_API_KEY",)

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents, as much as clients in use send."""
        return Limits(documents=1_000)

    def kind(self, model: str) -> ScoreKind:
        """Return an order for the listwise models, else a closeness."""
        return ScoreKind.RANK if model.startswith("jina-reranker-v3") else ScoreKind.SIMILARITY

    def request(self, call: Call) -> Request:
        """Ask for all scores without the texts, which come back unless they are declined."""
        body = {
            "model": call.model,
            "query": call.query,
            "documents": list(call.documents),
            "top_n": len(call.documents),
            "return_documents": False,
        }
        return Request("/rerank", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read `results` and `usage`."""
        scores = scores_by_index(
            member(reply.body, "results"), len(call.documents), score="relevance_score"
        )
        return Parsed(scores, count_of(member(reply.body, "usage", "total_tokens")))
