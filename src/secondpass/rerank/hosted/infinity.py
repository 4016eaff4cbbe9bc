"""Infinity, an inference server of one's own."""

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


class Infinity(Provider):
    """A server of one's own, version 0.0.78.

    `raw_scores` asks for logits, which do not saturate; False for probabilities.
    """

    name, title = "infinity", "Infinity"
    base_url_variables = ("INFINITY_BASE_URL",)
    key_variables = ("INFINITY_API_KEY",)
    key_needed = False

    def __init__(self, *, raw_scores: bool = True) -> None:
        self.raw_scores = raw_scores

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents, and texts a little shorter than it refuses."""
        return Limits(documents=1_000, characters=120_000)

    def kind(self, model: str) -> ScoreKind:
        """Return logits, or probabilities where they were asked for."""
        return ScoreKind.LOGIT if self.raw_scores else ScoreKind.PROBABILITY

    def request(self, call: Call) -> Request:
        """Ask for all scores without the texts."""
        body = {
            "model": call.model,
            "query": call.query,
            "documents": list(call.documents),
            "return_documents": False,
            "raw_scores": self.raw_scores,
        }
        return Request("/rerank", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read `results` and `usage`."""
        scores = scores_by_index(
            member(reply.body, "results"),
            len(call.documents),
            score="relevance_score",
            low=float("-inf") if self.raw_scores else 0,
        )
        return Parsed(scores, count_of(member(reply.body, "usage", "total_tokens")))
