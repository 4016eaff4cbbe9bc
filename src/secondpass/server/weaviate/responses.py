"""How the database says no."""

from __future__ import annotations

from typing import Any

from secondpass.inference.tokenizer import clean
from secondpass.server.http_errors import HttpError

_LONGEST = 1000


def refused(message: str) -> HttpError:
    """Return the problem of what is well formed but cannot be: 422, as the database has it."""
    return HttpError(422, "invalid", message)


def absent(message: str) -> HttpError:
    """Return the problem of what is not there."""
    return HttpError(404, "not found", message)


def fail(problem: HttpError, request: str) -> dict[str, Any]:
    """Return the database's form of an error."""
    return {"error": [{"message": shown(problem.message)}]}


def shown(message: str) -> str:
    """Return a message, which may quote the client, so that it can be sent."""
    return clean(message)[:_LONGEST]
