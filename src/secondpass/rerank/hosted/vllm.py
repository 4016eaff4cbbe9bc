"""vLLM, an inference server of one's own."""

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


class VLLM(Provider):
    """A server of one's own; the name is that of its `--served-model-name`."""

    name, title = "vllm", "vLLM"
    base_url_variables = ("VLLM_BASE_URL",)
    key_variables = ("VLLM_API_KEY",)
    key_needed = False
    sets_length = True

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents: the server has no limit, but its answers repeat texts."""
        return Limits(documents=1_000)

    def kind(self, model: str) -> ScoreKind:
        """Return probabilities: the server applies the model's activation."""
        return ScoreKind.PROBABILITY

    def request(self, call: Call) -> Request:
        """Ask for all scores; -1 cuts at the model's own length instead of refusing."""
        length = -1 if call.max_length is None else call.max_length
        body: dict[str, Any] = {
            "model": call.model,
            "query": call.query,
            "documents": list(call.documents),
            "truncate_prompt_tokens": length,
        }
        return Request("/rerank", body)

    def parse(self, reply: Reply, call: Call) -> Parsed:
        """Read `results` and `usage`."""
        scores = scores_by_index(
            member(reply.body, "results"), len(call.documents), score="relevance_score", low=0
        )
        return Parsed(scores, count_of(member(reply.body, "usage", "total_tokens")))
