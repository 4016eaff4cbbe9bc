"""OpenAI's dialect: answers from an index, embeddings, and the list of models."""

from __future__ import annotations

from starlette.routing import Route

from secondpass.server.openai import chat, embeddings, models
from secondpass.server.request_handler import RequestHandler


def routes(handler: RequestHandler) -> list[Route]:
    """Return the routes."""
    return [*chat.routes(handler), *embeddings.routes(handler), *models.routes(handler)]
