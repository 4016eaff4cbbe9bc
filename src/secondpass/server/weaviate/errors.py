"""Errors of requests, with the HTTP status that Weaviate gives them."""

from __future__ import annotations

from secondpass.inference.tokenizer import clean
from secondpass.server.http_errors import HttpError

_MAX_MESSAGE = 1000


def unprocessable(message: str) -> HttpError:
    """Return the error for a well-formed request that is not valid: 422, as in Weaviate."""
    return HttpError(422, "invalid", message)


def not_found(message: str) -> HttpError:
    """Return the error for a class or an object that does not exist."""
    return HttpError(404, "not found", message)


def clean_message(message: str) -> str:
    """Return an error message that can be sent: it may quote what the client sent."""
    return clean(message)[:_MAX_MESSAGE]
