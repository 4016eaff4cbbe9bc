"""What a dialect is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import Body
from secondpass.server.rerank_dialects.schemas import RerankReply, RerankRequest


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one provider's rerank endpoint speaks.

    - `read`: raises `HttpError` for a body that cannot be used.
    - `write`, `fail`: return what becomes JSON; `fail` also gets the request's id.
    - `open`: whether it is served without a key, as clients send none.
    """

    name: str
    read: Callable[[Body], RerankRequest]
    write: Callable[[RerankReply], Any]
    fail: Callable[[HttpError, str], Any]
    open: bool = False


def message(problem: HttpError, request: str) -> dict[str, Any]:
    """Return a body that the clients of Cohere, Jina and Voyage all understand."""
    return {"id": request, "message": problem.message, "detail": problem.message}


def openai_error(problem: HttpError, request: str) -> dict[str, Any]:
    """Return a body in OpenAI's form, as Infinity and vLLM have it."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(
        problem.status, "invalid_request_error" if problem.status < 500 else "server_error"
    )
    error = {"message": problem.message, "type": kind, "param": None, "code": problem.status}
    return {"error": error, "id": request}


def usage(answered: RerankReply) -> dict[str, int]:
    """Return the tokens of a request."""
    return {"prompt_tokens": answered.tokens, "total_tokens": answered.tokens}
