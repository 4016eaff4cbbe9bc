"""All routes of the own interface."""

from __future__ import annotations

from fastapi import APIRouter

from secondpass.server.api_v1 import indexes
from secondpass.server.api_v1.rerank import reranking
from secondpass.server.api_v1.search import searching
from secondpass.server.request_handler import RequestHandler


def native(handler: RequestHandler) -> list[APIRouter]:
    """Return the routers."""
    return [
        reranking(handler),
        searching(handler),
        indexes.reading(handler),
        indexes.writing(handler),
    ]
