"""Cohere Rerank, v2 (documents of several fields as YAML text) and v1 (as objects)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from secondpass.errors import InputError
from secondpass.remote.client import HttpRequest, HttpResponse
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    parse_amount,
    parse_count,
    scores_by_index,
)
from secondpass.types import ScoreKind


class Cohere(Provider):
    """Cohere, or a compatible server.

    `version` is 2 or 1. `priority` (version 2 only) is 0 to 999, lower is served earlier. Its
    scores are from 0 to 1, and not documented to be probabilities.
    """

    name, title = "cohere", "Cohere"
    base_url = "https://api.cohere.com"
    base_url_variables = ("CO_API_URL",)
    key_variables: ClassVar[tuple[str, ...]] = ("CO_API_KEY", "COHERE_API_KEY")

    def __init__(self, *, version: Literal[1, 2] = 2, priority: int | None = None) -> None:
        if version not in (1, 2):
            raise InputError(f"Cohere has the versions 1 and 2, not {version!r}")
        if priority is not None and not (version == 2 and 0 <= priority <= 999):
            raise InputError(f"priority is 0 to 999, in version 2: {priority!r}")
        self.version, self.priority = version, priority
        self.structure = "yaml" if version == 2 else "fields"
        self.supports_max_length = version == 2

    def limits(self, model: str) -> Limits:
        """Return 10,000 documents; in version 1 as many chunks, of which a document has 10."""
        return Limits(documents=10_000 if self.version == 2 else 999, characters=200_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1."""
        return ScoreKind.SIMILARITY

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request the scores of all documents."""
        body: dict[str, Any] = {
            "model": batch.model,
            "query": batch.query,
            "documents": list(batch.documents),
        }
        if batch.fields:
            body["rank_fields"] = list(batch.fields)
        limits = [n for n in (batch.max_length, batch.max_tokens_per_doc) if n is not None]
        if limits and self.version == 2:
            body["max_tokens_per_doc"] = min(limits)
        if self.priority is not None:
            body["priority"] = self.priority
        return HttpRequest(f"/v{self.version}/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results`, and the billed units in `meta`."""
        scores = scores_by_index(
            json_value(response.body, "results"),
            len(batch.documents),
            score="relevance_score",
            low=0,
        )
        tokens = parse_count(json_value(response.body, "meta", "tokens", "input_tokens"))
        if tokens is None:
            tokens = parse_count(
                json_value(response.body, "meta", "billed_units", "input_tokens")
            )
        units = parse_amount(json_value(response.body, "meta", "billed_units", "search_units"))
        return BatchScores(scores, tokens, units)
