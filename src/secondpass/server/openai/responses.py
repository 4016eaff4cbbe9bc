"""OpenAI's form of an error."""

from __future__ import annotations

from typing import Any

from secondpass.server.http_errors import HttpError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_CODES = {
    "no key": "invalid_api_key",
    "unknown model": "model_not_found",
    "rate": "rate_limit_exceeded",
}


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return what the clients make their exceptions of; `code` is a short word."""
    return {"error": error(problem)}


def error(problem: HttpError) -> dict[str, Any]:
    """Return the inner object, which a stream sends too."""
    below_500 = "invalid_request_error" if problem.status < 500 else "server_error"
    return {
        "message": problem.message,
        "type": _TYPES.get(problem.status, below_500),
        "param": None,
        "code": _CODES.get(problem.kind, problem.kind.replace(" ", "_")),
    }
