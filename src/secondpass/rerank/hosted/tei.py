"""Hugging Face Text Embeddings Inference (TEI), which tells its limits."""

from __future__ import annotations

from typing import Any

from secondpass.errors import ModelError, ProviderError
from secondpass.rerank.hosted.provider import (
    Call,
    Limits,
    Parsed,
    Provider,
    Reply,
    Request,
    Send,
    count_of,
    member,
    scores_by_index,
)
from secondpass.types import ScoreKind

BODY = 2_000_000
"""Bytes of a request that a server takes unless it is told otherwise."""


class TEI(Provider):
    """A server of one's own, version 1.9; the model is the one that it was started with.

    `raw_scores` asks for logits, which do not saturate; False for probabilities, as the
    server's 32-bit sigmoid gives them.
    """

    name, title = "tei", "TEI"
    base_url_variables = ("TEI_BASE_URL",)
    key_variables = ("TEI_API_KEY",)
    key_needed = False
    model_needed = False

    def __init__(self, *, raw_scores: bool = True) -> None:
        self.raw_scores = raw_scores

    def limits(self, model: str) -> Limits:
        """Return 32 documents, the server's default."""
        # A character may take six bytes where it is escaped.
        return Limits(documents=32, bytes=BODY // 8, characters=40_000)

    async def ask_limits(self, model: str, send: Send) -> Limits:
        """Return what `/info` says; the defaults where a proxy hides it (404, 403, 405)."""
        try:
            reply = await send(Request("/info", None, "GET"))
        except ProviderError as error:
            if error.status in (403, 404, 405):
                return self.limits(model)
            raise
        kind = member(reply.body, "model_type")
        if isinstance(kind, dict) and "reranker" not in kind:
            raise ModelError(
                "The TEI server does not serve a reranker",
                why=f"its model {member(reply.body, 'model_id')} is a {'/'.join(kind)}",
                fix="Start it with a cross-encoder of one output.",
            )
        most = count_of(member(reply.body, "max_client_batch_size"))
        default = self.limits(model)
        return Limits(most if most else 32, bytes=default.bytes, characters=default.characters)

    def kind(self, model: str) -> ScoreKind:
        """Return logits, or probabilities where they were asked for."""
        return ScoreKind.LOGIT if self.raw_scores else ScoreKind.PROBABILITY

    def request(self, call: Call) -> Request:
        """Ask for all scores, cutting texts that are too long for the model."""
        body: dict[str, Any] = {
            "query": call.query,
            "texts": list(call.documents),
            "truncate": True,
            "raw_scores": self.raw_scores,
        }
        return Request("/rerank", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read the bare list; tokens stand in a header."""
        low = float("-inf") if self.raw_scores else 0
        scores = scores_by_index(reply.body, len(call.documents), score="score", low=low)
        said = reply.headers.get("x-compute-tokens", "")
        return Parsed(scores, int(said) if said.isascii() and said.isdigit() else None)
