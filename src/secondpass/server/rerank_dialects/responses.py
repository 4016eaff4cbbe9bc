"""Rerank replies, and what several dialects write alike: rows, usage, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.server.http_errors import HttpError
from secondpass.server.rerank_dialects.schemas import RerankRequest
from secondpass.server.result_fields import relevance_score
from secondpass.types import RankedDocument, RerankResponse


@dataclass(frozen=True, slots=True)
class RerankReply:
    """A request with its response.

    `id` is the request's id; `warnings` says what of the request was ignored or not read.
    """

    request: RerankRequest
    response: RerankResponse
    id: str
    warnings: Sequence[str] = ()

    @property
    def model(self) -> str:
        """The name that the client sent, or else the model's own."""
        return self.request.model or self.response.model or ""

    def score(self, result: RankedDocument) -> float:
        """Return the raw score where the client asked for it, or else one from 0 to 1."""
        return result.score if self.request.raw_scores else relevance_score(result)

    def document(self, index: int) -> dict[str, Any]:
        """Return a document of the request as an object."""
        original = self.request.originals[index]
        return dict(original) if isinstance(original, Mapping) else {"text": original}

    def rows(self, document: Callable[[int], Any]) -> list[dict[str, Any]]:
        """Return index, score and, where it was asked for, the document, best first.

        `document` returns it in the dialect's form, by its index in the request.
        """
        rows: list[dict[str, Any]] = []
        for result in self.response.results:
            row: dict[str, Any] = {"index": result.index}
            row["relevance_score"] = self.score(result)
            if self.request.return_documents:
                row["document"] = document(result.index)
            rows.append(row)
        return rows

    @property
    def tokens(self) -> int:
        """The approximate number of tokens of the request's texts, at 4 characters each.

        Not counted exactly, as documents with precomputed states are not tokenized again.
        """
        texts = [self.request.query, *self.request.documents]
        return max(1, sum(map(len, texts)) // 4)


def usage(reply: RerankReply) -> dict[str, int]:
    """Return the tokens of a request."""
    return {"prompt_tokens": reply.tokens, "total_tokens": reply.tokens}


def openai_error(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error body in OpenAI's form, as Infinity and vLLM have it."""
    types = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    default = "invalid_request_error" if error.status < 500 else "server_error"
    content = {
        "message": error.message,
        "type": types.get(error.status, default),
        "param": None,
        "code": error.status,
    }
    return {"error": content, "id": request_id}
